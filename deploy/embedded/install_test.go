package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallWithoutNPM(t *testing.T) {
	if unsupported() != "" {
		t.Skip(unsupported())
	}
	t.Setenv("PATH", t.TempDir())
	_, err := Install(t.Context(), filepath.Join(t.TempDir(), "cache"), nil)
	if err == nil || !strings.Contains(err.Error(), "npm is not on the PATH: install Node.js") {
		t.Errorf("Install = %v", err)
	}
}

// A stand-in for npm on the PATH: what matters here is what Install makes of its end.
func TestInstallNPMFails(t *testing.T) {
	if unsupported() != "" {
		t.Skip(unsupported())
	}
	bin, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	script := "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	_, err := Install(t.Context(), cache, nil)
	if err == nil || !strings.Contains(err.Error(), "npm cannot reach its registry: check the network") {
		t.Errorf("Install = %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*.tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestExplainNPM(t *testing.T) {
	failed := errors.New("exit status 1")
	for out, want := range map[string]string{
		"npm error code ENOSPC\nnpm error syscall write": "the disk is full: free 1.5 GB",
		"npm error code EINTEGRITY":                      "something else than the lock file names",
		"npm error code EAI_AGAIN":                       "cannot reach its registry",
		"npm error something new":                        "npm ci: exit status 1: npm error something new",
	} {
		if got := explainNPM(failed, out); !strings.Contains(got.Error(), want) {
			t.Errorf("explainNPM(%q) = %v, want %q in it", out, got, want)
		}
	}
	if err := explainNPM(nil, "npm warn ENOTFOUND"); err != nil {
		t.Errorf("a success is explained as %v", err)
	}
}

func TestMakeOwned(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := makeOwned(open); err == nil || !strings.Contains(err.Error(), cacheVariable) {
		t.Errorf("a folder that everybody can write: %v", err)
	}
	if err := makeOwned(filepath.Join(t.TempDir(), "a", "b")); err != nil {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		foreign := t.TempDir()
		if err := os.Chown(foreign, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := makeOwned(foreign); err == nil {
			t.Error("a folder of somebody else is accepted")
		}
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	in := Tree{Inside: "node_modules"}
	if in.complete(dir) {
		t.Error("an empty folder is complete")
	}
	file := filepath.Join(dir, "node_modules", "x")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	for sizes, want := range map[string]bool{`{"x":5}`: true, `{"x":6}`: false, `{"x":5,"y":1}`: false, `{}`: false, `{`: false} {
		if err := os.WriteFile(filepath.Join(dir, sizesFile), []byte(sizes), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := in.complete(dir); got != want {
			t.Errorf("complete with %s = %v", sizes, got)
		}
	}
}

func TestLinkLibraries(t *testing.T) {
	pkg := t.TempDir()
	if err := os.MkdirAll(filepath.Join(pkg, "native/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(pkg, "native/pg-symlinks.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"source":"native/lib/liba.so.1.2","target":"native/lib/liba.so.1"}]`)
	for range 2 { // the second time the link is there
		if err := linkLibraries(pkg); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := os.Readlink(filepath.Join(pkg, "native/lib/liba.so.1")); err != nil || to != "liba.so.1.2" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	write(`[{"source":"native/lib/liba.so.1.2","target":"../../outside"}]`)
	if err := linkLibraries(pkg); err == nil {
		t.Error("a link outside of the package is made")
	}
}

func TestLockFileHasNoAddresses(t *testing.T) {
	if strings.Contains(string(packageLock), "resolved") || strings.Contains(string(packageLock), "://") {
		t.Error("package-lock.json names addresses: npm install --omit-lockfile-registry-resolved makes it without")
	}
}

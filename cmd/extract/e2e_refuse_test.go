//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"adventureworks.example/extract/deploy/embedded"
)

// refused starts the demo where it cannot run: it must end at once with one sentence that holds the texts.
func refused(t *testing.T, code int, env []string, user *syscall.Credential, args []string, texts ...string) {
	t.Helper()
	demo := launchAs(t, env, user, append([]string{"demo"}, args...)...)
	got := demo.end(patience)
	out := demo.out.String()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	if got != code || !strings.HasPrefix(last, "extract: ") {
		t.Errorf("demo %v: code %d, want %d:\n%s", args, got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(last, text) {
			t.Errorf("demo %v says %q, without %q", args, last, text)
		}
	}
}

func TestDemoIsRefused(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Run("a folder that may not be written", refusedAsNobody)
	}
	t.Run("a folder of something else", func(t *testing.T) {
		dir := folder(t)
		mine := filepath.Join(dir, "mine.txt")
		if err := os.WriteFile(mine, []byte("keep me"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, more := range [][]string{nil, {"--reset"}, {"--once"}} {
			refused(t, exitUsage, nil, nil, append([]string{"--dir", dir}, more...), dir+" is not empty and not a demo's folder", "--dir")
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the folder holds %v now, %v", entries, err)
		}
	})
	t.Run("a file in place of the folder", func(t *testing.T) {
		file := filepath.Join(folder(t), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, exitUsage, nil, nil, []string{"--dir", file}, file)
	})
	t.Run("without npm", func(t *testing.T) {
		dir := folder(t)
		cache := filepath.Join(dir, "cache")
		refused(t, exitFailed, []string{"PATH=" + filepath.Join(dir, "nothing"), "EXTRACT_CACHE=" + cache}, nil, []string{"--dir", filepath.Join(dir, "demo")},
			"npm is not on the PATH: install Node.js")
	})
	t.Run("with flags that make no sense", func(t *testing.T) {
		dir := folder(t)
		refused(t, exitUsage, nil, nil, []string{"--dir", dir, "--rows", "0"}, "--rows is at least 1")
		refused(t, exitUsage, nil, nil, []string{"--dir", dir, "--rate", "-1"}, "--rate at least 0")
		refused(t, exitUsage, nil, nil, []string{"--dir", dir, "--row", "5"}, "unknown flag: --row", "extract demo --help")
		refused(t, exitUsage, nil, nil, []string{"--dir", dir, "now"}, `not "now"`)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("the folder holds %v, %v", entries, err)
		}
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		dir := folder(t)
		for _, flag := range []string{"--kafka-port", "--postgres-port"} {
			refused(t, exitFailed, nil, nil, []string{"--dir", filepath.Join(dir, "demo"), "--rows", "1", flag, port}, "port "+port+" is in use by another program")
		}
		refused(t, exitUsage, nil, nil, []string{"--dir", filepath.Join(dir, "demo"), "--rows", "1", "--admin-port", port}, "127.0.0.1:"+port, "in use")
	})
}

// nobody is an ordinary user, whom root can start programs as.
var nobody = syscall.Credential{Uid: 65534, Gid: 65534}

func refusedAsNobody(t *testing.T) {
	dir := folder(t)
	refused(t, exitUsage, []string{"HOME=" + dir}, &nobody, []string{"--dir", filepath.Join(dir, "demo")}, "permission denied", "--dir")
}

// TestDemoAsOrdinaryUser runs the whole demo as an ordinary user when root runs the tests, with the engines that root has installed.
func TestDemoAsOrdinaryUser(t *testing.T) {
	dir := folder(t)
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	user, env := (*syscall.Credential)(nil), []string{"HOME=" + home}
	if os.Geteuid() == 0 {
		user = &nobody
		if err := os.Chown(home, int(nobody.Uid), int(nobody.Gid)); err != nil {
			t.Fatal(err)
		}
		env = append(env, "EXTRACT_CACHE="+shareEngines(t, home))
	}
	demo := launchAs(t, env, user, "demo", "--once", "--rows", "7000", "--dir", filepath.Join(home, "demo"))
	if code := demo.end(patience); code != exitOK || !strings.Contains(demo.out.String(), "Complete: 28 datasets") {
		t.Fatalf("demo --once as an ordinary user: code %d:\n%s", code, demo.out.String())
	}
	info, err := os.Stat(filepath.Join(home, "demo", marker))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s, which holds a password, has mode %v", marker, info.Mode().Perm())
	}
}

// shareEngines makes a cache of the user's own in which the engines are links to those that are installed already.
func shareEngines(t *testing.T, home string) string {
	t.Helper()
	if _, err := embedded.Install(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	installed, err := embedded.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	engines, err := filepath.Glob(filepath.Join(installed, "*"))
	if err != nil || len(engines) == 0 {
		t.Fatalf("no engines in %s: %v", installed, err)
	}
	cache := filepath.Join(home, "cache")
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines {
		if strings.HasSuffix(engine, ".lock") {
			continue
		}
		if err := os.Symlink(engine, filepath.Join(cache, filepath.Base(engine))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(cache, int(nobody.Uid), int(nobody.Gid)); err != nil {
		t.Fatal(err)
	}
	return cache
}

// TestOneDemoAFolder starts a second demo in the folder of a running one.
func TestOneDemoAFolder(t *testing.T) {
	dir := folder(t)
	demo := launch(t, "demo", "--dir", dir, "--rows", "1", "--rate", "0")
	demo.until("Ready after")
	for _, more := range [][]string{nil, {"--once"}, {"--reset"}} {
		refused(t, exitUsage, nil, nil, slices.Concat([]string{"--dir", dir}, more), "a demo is running in "+dir, "stop it first, or choose another folder with --dir")
	}
	if code, out, errs := extract(t, "status", "--dir", dir); code != exitOK {
		t.Errorf("the first demo is not well: code %d\n%s\n%s", code, out, errs)
	}
	demo.stop()
}

package apachekafka

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallWithoutMaven(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Install(t.Context(), filepath.Join(t.TempDir(), "cache"), nil)
	if err == nil || !strings.Contains(err.Error(), "mvn is not on the PATH: install Maven") {
		t.Errorf("Install = %v", err)
	}
}

func TestStartWithoutJava(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "java is not on the PATH: install a Java runtime") {
		t.Errorf("Start = %v", err)
	}
}

// A stand-in for mvn on the PATH: what matters here is what Install makes of its end.
func standIn(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/bin:/usr/bin")
}

func TestInstallMavenFails(t *testing.T) {
	for script, want := range map[string]string{
		"echo 'Could not transfer artifact: Unknown host' >&2; exit 1": "mvn cannot reach its repository: check the network",
		"exit 0": "mvn copied no jars",
	} {
		standIn(t, script)
		cache := filepath.Join(t.TempDir(), "cache")
		if _, err := Install(t.Context(), cache, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Install = %v", script, err)
		}
		left, err := filepath.Glob(filepath.Join(cache, "*.tmp-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

// What is installed is served without Maven, and made again once a jar is gone.
func TestInstallOnce(t *testing.T) {
	standIn(t, "mkdir libs; echo 1 > libs/a.jar; echo 2 > libs/b.jar\n")
	cache := filepath.Join(t.TempDir(), "cache")
	jars, err := Install(t.Context(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	standIn(t, "exit 1\n")
	if again, err := Install(t.Context(), cache, nil); err != nil || again != jars {
		t.Errorf("again: %s, %v", again, err)
	}
	if err := os.Remove(filepath.Join(string(jars), "b.jar")); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), cache, nil); err == nil {
		t.Error("a jar is gone and nobody noticed")
	}
}

func TestExplainMaven(t *testing.T) {
	failed := errors.New("exit status 1")
	for out, want := range map[string]string{
		"ERROR Connection refused":                     "mvn cannot reach its repository",
		"Could not find artifact org.apache.kafka":     "does not have the broker",
		"write: No space left on device":               "the disk is full: free 150 MB",
		"The JAVA_HOME environment variable is wrong.": "mvn finds no Java",
		"something new":                                "mvn: exit status 1: something new",
	} {
		if got := explainMaven(failed, out); !strings.Contains(got.Error(), want) {
			t.Errorf("explainMaven(%q) = %v, want %q in it", out, got, want)
		}
	}
}

func TestListenerPort(t *testing.T) {
	n := node{Options: Options{Dir: "/d", Config: map[string]string{"a": "b"}}}
	text := n.properties(1234, 5678)
	if port, err := listenerPort(text); err != nil || port != 1234 {
		t.Errorf("port %d, %v", port, err)
	}
	if !strings.Contains(text, "a=b\n") {
		t.Errorf("the caller's configuration is not there:\n%s", text)
	}
	if _, err := listenerPort("process.roles=broker\n"); err == nil {
		t.Error("a port of a configuration without any")
	}
}

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// healthConfig is a configuration whose admin address is that of a server.
func healthConfig(t *testing.T, listen string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "extract.yaml")
	text := "prefix: aw\nkafka: {brokers: [127.0.0.1:9092]}\nregistry: {url: 'http://r'}\nsources: [{name: a, lake: {folder: y}}]\nadmin: {listen: '" + listen + "'}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHealthAsksTheProcess(t *testing.T) {
	healthy := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if !healthy {
			http.Error(w, "source sql: the slot is lost", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}))
	address := server.Listener.Addr().String()
	_, port, _ := strings.Cut(address, ":")
	ask := func(listen string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"health", "--config", healthConfig(t, listen)}, env(), &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, listen := range []string{address, "0.0.0.0:" + port, ":" + port} {
		if code, out, errs := ask(listen); code != exitOK || out != "ok\n" {
			t.Errorf("%s: exit %d, %q, %q", listen, code, out, errs)
		}
	}
	healthy = false
	if code, _, errs := ask(address); code != exitFailed || !strings.Contains(errs, "not healthy: source sql: the slot is lost") {
		t.Errorf("not healthy: exit %d, %q", code, errs)
	}
	server.Close()
	if code, _, errs := ask(address); code != exitFailed || !strings.Contains(errs, "is a process running") {
		t.Errorf("nobody listens: exit %d, %q", code, errs)
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:1": "127.0.0.1:1", "0.0.0.0:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "[::]:1": "[::1]:1",
		"consumer:1": "consumer:1", "[fe80::1]:1": "[fe80::1]:1", "nonsense": "nonsense"} {
		if got := reachable(listen); got != want {
			t.Errorf("%s is asked at %s, want %s", listen, got, want)
		}
	}
}

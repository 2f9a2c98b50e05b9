package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin is the HTTP side of a long-lived command: /metrics for Prometheus, /healthz for a supervisor, /status for `extract status`.
type admin struct {
	listener net.Listener
	server   *http.Server
	mux      *http.ServeMux
}

// openAdmin listens on address; with fallback a free port is taken when that one is in use.
func openAdmin(address string, fallback bool, live *liveStatus) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil && fallback {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return nil, fmt.Errorf("admin address %s: %w", address, splitErr)
		}
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen for metrics and status on %s: %w; choose another admin.listen", address, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		health := live.health()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if health != nil {
			http.Error(w, health.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(live.report()); err != nil {
			return // the reader went away
		}
	})
	// Profiles, for whoever may reach the address: it is a loopback one unless the configuration says otherwise.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return &admin{listener: l, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, mux: mux}, nil
}

// serveMetrics adds /metrics. Call it before run.
func (a *admin) serveMetrics(registry *prometheus.Registry) {
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
}

// address is where it listens.
func (a *admin) address() string { return a.listener.Addr().String() }

// run serves until close.
func (a *admin) run(log *slog.Logger) error {
	log.Info("serving metrics and status", "address", "http://"+a.address())
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and status: %w", err)
	}
	return nil
}

// close ends run. Answers under way have two seconds.
func (a *admin) close(ctx context.Context) {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = a.server.Shutdown(grace) // what is still open after the grace ends with the process
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is less than a supervisor's patience, so that the reason is printed.
const healthTimeout = 3 * time.Second

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the running process whether it is healthy: exit 0 or 1, for supervisors",
		Long: `Health asks the process that runs with the same configuration at admin.listen. It prints ok and exits 0, or prints what is wrong and exits 1.
It is the health check of the container image, which has no other program to ask with.`,
		Example: "  extract health --config extract.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.findConfig()
			if err != nil {
				return err
			}
			answer, err := askHealth(cmd.Context(), c.Admin.Listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, answer)
			return nil
		},
	}
}

// askHealth returns what a healthy process says at its admin address, or why it is not healthy.
func askHealth(ctx context.Context, listen string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(listen)+"/healthz", nil)
	if err != nil {
		return "", usageError{fmt.Errorf("admin.listen: %w", err)}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for health: %w; is a process running with this configuration?", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("ask for health: %w", err)
	}
	answer := strings.TrimSpace(string(text))
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("not healthy: %s", answer)
	}
	return answer, nil
}

// reachable is the address to ask a process that listens on listen: one that listens on every interface is asked on the loopback one.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

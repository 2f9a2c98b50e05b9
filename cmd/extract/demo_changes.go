package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
)

// changer goes on changing the demo's sources, and can be paused by `extract reconcile`, which wants to see everything arrive.
type changer struct {
	d  *demo
	db *embedded.DB

	mu     sync.Mutex // guards until
	until  time.Time  // paused until then
	paused chan struct{}
	moving sync.Mutex // held while the sources are being changed
}

func newChanger(d *demo, db *embedded.DB) *changer {
	return &changer{d: d, db: db, paused: make(chan struct{}, 1)}
}

// longestPause bounds a pause whose asker has died.
const longestPause = time.Minute

// ServeHTTP pauses the changes (?pause=30s) or lets them go on (?pause=0s). A pause is answered when nothing moves any more.
func (c *changer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pause, err := time.ParseDuration(r.URL.Query().Get("pause"))
	if err != nil || pause < 0 {
		http.Error(w, "pause is a duration such as 30s", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.until = time.Now().Add(min(pause, longestPause))
	c.mu.Unlock()
	if pause > 0 {
		select {
		case c.paused <- struct{}{}:
		default:
		}
		c.moving.Lock() // waits for the change under way
		defer c.moving.Unlock()
	}
	fmt.Fprintln(w, "ok")
}

func (c *changer) pausedFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.until)
}

// run changes the sources until ctx ends.
func (c *changer) run(ctx context.Context) {
	if c.d.o.rate == 0 {
		return
	}
	for ctx.Err() == nil {
		if wait := c.pausedFor(); wait > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(min(wait, 200*time.Millisecond)):
			}
			continue
		}
		if err := c.change(ctx); err != nil && ctx.Err() == nil {
			c.d.log.Error("changing the sources", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}
}

// change changes the sources until ctx ends or a pause is asked for.
func (c *changer) change(ctx context.Context) error {
	c.moving.Lock()
	defer c.moving.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-c.paused:
			cancel()
		}
	}()
	return adventureworks.Change(ctx, adventureworks.ChangeOptions{Seed: c.d.file.Changes, PerSecond: c.d.o.rate, Dir: c.d.inbox(), LakeDir: c.d.lake(), DB: c.db})
}

// pauseDemo pauses the changes of the demo that the configuration is of, and returns how to let them go on. Other configurations are left alone.
func (a *app) pauseDemo(ctx context.Context, c *Config, log *slog.Logger) (resume func()) {
	ask := func(ctx context.Context, pause time.Duration) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Admin.Listen+"/demo/changes?pause="+pause.String(), nil)
		if err != nil {
			return
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Debug("the demo does not answer", "err", err)
			return
		}
		res.Body.Close()
	}
	if a.config != "" {
		return func() {}
	}
	ask(ctx, longestPause)
	return func() { ask(context.WithoutCancel(ctx), 0) }
}

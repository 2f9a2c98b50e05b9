package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"adventureworks.example/extract/deploy/adventureworks"
)

// limitMemory keeps the program's own memory near 200 MB: the collector works harder before more is taken. GOMEMLIMIT overrules it.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(200 << 20)
	}
}

// openPipeline writes the configuration, opens what it describes and listens for the other commands.
func (d *demo) openPipeline(ctx context.Context) error {
	path, err := d.writeConfig()
	if err != nil {
		return err
	}
	wanted, fallback := d.o.admin, false
	if wanted == 0 {
		_, last, splitErr := net.SplitHostPort(d.file.Admin)
		if wanted, err = strconv.Atoi(last); splitErr != nil || err != nil {
			wanted = 9464
		}
		fallback = true
	}
	live := newLiveStatus("")
	if d.admin, err = openAdmin(net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)), fallback, live); err != nil {
		return usageError{err}
	}
	d.file.Admin = d.admin.address()
	if err := d.saveFile(); err != nil {
		return err
	}
	c, err := readConfig(path, demoEnv(d.dir, d.stack.Endpoints(), d.file))
	if err != nil {
		return err
	}
	if d.pipeline, err = openPipeline(ctx, c, d.log); err != nil {
		return err
	}
	d.pipeline.live = live
	d.admin.serveMetrics(d.pipeline.metrics)
	d.admin.serveAudits(d.pipeline)
	d.admin.mux.Handle("POST /demo/changes", d.changes)
	return nil
}

// printPlaces says what runs and where.
func (d *demo) printPlaces(started time.Time) {
	for _, line := range d.places(0) {
		d.out.line("%s", line)
	}
	d.out.line("\nReady after %s. The sample has about %s rows.\n", time.Since(started).Round(100*time.Millisecond), thousands(int64(d.file.Rows)))
}

// places is what runs and where: one a line, or several a line in so many columns of a terminal.
func (d *demo) places(columns int) []string {
	e := d.stack.Endpoints()
	all := [][2]string{
		{"Kafka", strings.Join(e.Kafka, ", ")}, {"Schema registry", e.Registry},
		{"ClickHouse", e.ClickHouse + " (native), " + e.ClickHouseHTTP + " (HTTP)"},
		{"Postgres", hostOf(e.Postgres) + ", database " + sampleDatabase},
		{"Metrics, status", "http://" + d.admin.address() + "/metrics, /status, /healthz"},
		{"Files", d.inbox()}, {"Lake", d.lake()},
		{"Configuration", d.pipeline.c.path}, {"Log", filepath.Join(d.dir, "demo.log")},
	}
	lines := []string{d.out.bold("extract demo") + "  every row exactly once, from three kinds of source into one dataset"}
	row := ""
	for _, p := range all {
		if columns == 0 {
			lines = append(lines, fmt.Sprintf("  %-16s %s", p[0], p[1]))
			continue
		}
		cell := "  " + p[0] + " " + p[1]
		if row != "" && len(row)+len(cell)+1 > columns {
			lines, row = append(lines, row), ""
		}
		row += cell
	}
	if row != "" {
		lines = append(lines, row)
	}
	return lines
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "@")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// flow streams until ctx ends, and shows how it goes.
func (d *demo) flow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts, err := d.pipeline.producerParts(false)
	if err != nil {
		return err
	}
	parts = append(parts, d.pipeline.consumerPart(), d.pipeline.datasetPart())
	var wait sync.WaitGroup
	defer wait.Wait()
	board := newScoreboard(d.pipeline)
	if err := board.countBefore(ctx); err != nil {
		return err
	}
	wait.Go(func() {
		if err := d.stack.Wait(ctx); err != nil {
			d.log.Error("a server has ended", "err", err)
			cancel(err)
		}
	})
	wait.Go(func() { board.countHeld(ctx) })
	wait.Go(func() { d.changes.run(ctx) })
	wait.Go(func() { d.show(ctx, board) })
	err = d.pipeline.runParts(ctx, parts)
	d.pipeline.logEnd()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	<-ctx.Done() // when every part has failed, the servers go on for whoever looks for the reason
	return err
}

// show paints the live table until ctx ends, with the queries worth trying below it once the dataset is there.
func (d *demo) show(ctx context.Context, board *scoreboard) {
	every := time.Second
	if !d.out.terminal {
		every = 5 * time.Second
	}
	columns, lines := d.out.size()
	view := liveView{w: d.out.w, terminal: d.out.terminal, height: func() int { return lines - 1 }}
	if d.out.terminal {
		fmt.Fprint(d.out.w, "\x1b[2J\x1b[H") // the whole screen is ours now; what was on it is in the scrollback
	}
	queries := &queryShow{d: d}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.out.line("\nStopping: finishing what was read and saving the positions …")
			return
		case now := <-tick.C:
			columns, lines = d.out.size()
			rows, err := board.rows(ctx)
			if ctx.Err() != nil {
				continue
			}
			below := queries.once
			if d.out.terminal {
				below = func(ctx context.Context) []string {
					return append(queries.fitting(ctx, now, columns, lines-leastRows-14), "", cut(d.note(), columns-1))
				}
			}
			if err != nil {
				below = func(context.Context) []string {
					return []string{"", cut("ClickHouse does not answer: "+err.Error(), columns-1)}
				}
			}
			view.show(now, rows, append(d.places(columns), ""), below(ctx))
		}
	}
}

// note is the line at the bottom: what is wrong, else what can be done.
func (d *demo) note() string {
	if note := d.pipeline.live.report().lastError(); note != "" {
		return "! " + note
	}
	return "Ctrl-C stops and keeps everything. In another terminal: extract query, status, reconcile, audit, deadletters list, replay" + dirFlag(d.app.dir)
}

func dirFlag(dir string) string {
	if dir == defaultDemoDir {
		return ""
	}
	return " (--dir " + dir + ")"
}

// queryShow runs the statements worth trying and keeps their results.
type queryShow struct {
	d       *demo
	at      time.Time
	blocks  [][]string // one a statement; empty until all have a result
	printed bool
}

// refresh runs the statements, at most every half minute once there is a result.
func (q *queryShow) refresh(ctx context.Context, now time.Time) {
	if now.Sub(q.at) < 2*time.Second || len(q.blocks) > 0 && now.Sub(q.at) < 30*time.Second {
		return
	}
	q.at = now
	var blocks [][]string
	for _, query := range adventureworks.Queries() {
		var out strings.Builder
		if err := q.d.pipeline.printQuery(ctx, &out, query.SQL, "table", 3); err != nil || strings.Count(out.String(), "\n") < 3 {
			return // the dataset is not there yet
		}
		block := []string{"", q.d.out.bold(query.Title), oneLine(query.SQL)}
		for _, line := range strings.Split(strings.TrimRight(out.String(), "\n"), "\n") {
			if !strings.HasPrefix(line, "The first") {
				block = append(block, line)
			}
		}
		blocks = append(blocks, block)
	}
	q.blocks = blocks
}

// fitting is the statements with their results, as far as there is room for so many lines: all, or one after the other.
func (q *queryShow) fitting(ctx context.Context, now time.Time, columns, room int) []string {
	q.refresh(ctx, now)
	var all []string
	wrapped := make([][]string, len(q.blocks))
	for i, block := range q.blocks {
		for _, line := range block {
			wrapped[i] = append(wrapped[i], wrap(line, columns-1)...)
		}
		all = append(all, wrapped[i]...)
	}
	if len(all) <= room || len(all) == 0 {
		return all
	}
	one := wrapped[now.Unix()/10%int64(len(wrapped))]
	if len(one) > room {
		return nil
	}
	return one
}

// once is the statements with their results the first time they are there, and nothing afterwards.
func (q *queryShow) once(ctx context.Context) (all []string) {
	if q.printed {
		return nil
	}
	q.refresh(ctx, time.Now())
	for _, b := range q.blocks {
		all = append(all, b...)
	}
	q.printed = len(all) > 0
	return all
}

// wrap breaks a line at blanks. The parts after the first are indented; as part of a statement in quotes they can be pasted into a shell.
func wrap(line string, columns int) []string {
	var out []string
	for text.StringWidthWithoutEscSequences(line) > columns {
		at := strings.LastIndexByte(line[:min(len(line), columns)], ' ')
		if at <= 4 {
			return append(out, cut(line, columns))
		}
		out = append(out, line[:at])
		line = "    " + line[at+1:]
	}
	return append(out, line)
}

// oneLine is SQL as a person would paste it.
func oneLine(sql string) string {
	return "  extract query \"" + strings.ReplaceAll(strings.Join(strings.Fields(sql), " "), `"`, `\"`) + "\""
}

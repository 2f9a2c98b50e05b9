package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/files"
)

// closeOptions are the flags of retry and discard.
type closeOptions struct {
	letterFilter
	all       bool
	why       string
	by        string
	bytesFrom string
}

func (o *closeOptions) register(cmd *cobra.Command) {
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "every open letter")
	cmd.Flags().StringVar(&o.why, "why", "", "`words` to keep on record")
	cmd.Flags().StringVar(&o.by, "by", who(), "`who` does it, to keep on record")
}

func (a *app) retryLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Bring rows in after a repair, each once",
		Long: `Retry tries again to store the rows of dead letters: of those named, or of every open one that the filters choose, or of --all.

An unproduced row is read again by the schema file and the configuration as they are now, from its bytes or from --bytes-from, and produced with the
origin it had; the record and the word that the letter was retried are one Kafka transaction. An unstored record is stored at its own offset.
A retry that is killed may be repeated: no row comes in twice. What still cannot be stored stays open, with the new reason.

Exit code 0: everything named is stored now. 1: something stays open.`,
		Example: `  extract deadletters retry 3f2a91
  extract deadletters show 3f2a91 --raw > row.csv    # correct row.csv, then
  extract deadletters retry 3f2a91 --bytes-from row.csv --why "decimal comma"
  extract deadletters retry --source files --dataset reviews
  extract deadletters retry --all`,
	}
	var o closeOptions
	o.register(cmd)
	cmd.Flags().StringVar(&o.bytesFrom, "bytes-from", "", "`file` with the corrected bytes of the one letter named; - for standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.bytesFrom != "" && len(args) != 1 {
			return usageError{errors.New("--bytes-from is for one letter, named by its id")}
		}
		return a.closeLetters(cmd, args, o, true)
	}
	return cmd
}

func (a *app) discardLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discard [ID...]",
		Short: "Close dead letters whose rows are not to come in, and say why",
		Long: `Discard closes dead letters for good: those named, or every open one that the filters choose, or --all. They stay on record with their bytes, who
discarded them and why; list --state discarded shows them.`,
		Example: `  extract deadletters discard 3f2a91 --why "a test row of the supplier"
  extract deadletters discard --source files --dataset reviews --since 2h --why "the whole drop was withdrawn"`,
	}
	var o closeOptions
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.why == "" {
			return usageError{errors.New("--why is missing: say why the rows are not to come in")}
		}
		return a.closeLetters(cmd, args, o, false)
	}
	return cmd
}

// closeLetters is what retry and discard share: choose, close source by source, tell.
func (a *app) closeLetters(cmd *cobra.Command, args []string, o closeOptions, retry bool) error {
	if len(args) == 0 && !o.given() && !o.all {
		return usageError{fmt.Errorf("name letters by their ids, choose some by --source, --dataset, --class or --since, or say --all; see %s --help", cmd.CommandPath())}
	}
	if len(args) > 0 && (o.given() || o.all) {
		return usageError{errors.New("give ids, or filters, or --all, not two of them")}
	}
	ctx := cmd.Context()
	l, err := a.openLetters(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	chosen, err := l.choose(ctx, args, o)
	if err != nil {
		return err
	}
	c := &letterCloser{letters: l, o: o, retry: retry, out: a.stdout, screen: newScreen(a.stderr), total: len(chosen)}
	defer c.close()
	if o.bytesFrom != "" {
		if c.corrected, err = readAll(o.bytesFrom, cmd.InOrStdin()); err != nil {
			return usageError{fmt.Errorf("read corrected bytes: %w", err)}
		}
	}
	return c.run(ctx, chosen)
}

func readAll(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}

// choose returns the letters to close, the oldest first, without their bytes.
func (l *letters) choose(ctx context.Context, ids []string, o closeOptions) ([]letter, error) {
	var chosen []letter
	seen := map[string]bool{}
	for _, id := range ids {
		x, err := l.one(ctx, id, false)
		if err != nil {
			return nil, err
		}
		if !seen[x.ID] {
			seen[x.ID] = true
			chosen = append(chosen, x)
		}
	}
	if len(ids) > 0 {
		return chosen, nil
	}
	f, err := o.filter(time.Now())
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, f, producers.LetterOpen, func(x letter) error {
		chosen = append(chosen, x)
		return nil
	})
	slices.Reverse(chosen)
	return chosen, err
}

// letterCloser closes letters and tells what became of each.
type letterCloser struct {
	*letters
	o         closeOptions
	retry     bool
	corrected []byte // instead of the letter's bytes; nil without
	out       io.Writer
	screen    *screen
	total     int

	done, closed, before, open int
	progress                   func(text string, done, total int64)
	sources                    map[string]producers.Source // opened for repairs, by name
	topics                     *topicReader
}

func (c *letterCloser) close() {
	for name, s := range c.sources {
		if err := s.Close(context.Background()); err != nil {
			c.log.Warn("source closed with an error", "source", name, "err", err)
		}
	}
	if c.topics != nil {
		c.topics.close()
	}
}

// run closes the letters, source by source.
func (c *letterCloser) run(ctx context.Context, chosen []letter) error {
	c.progress, c.sources = c.screen.progress(), map[string]producers.Source{}
	bySource := map[string][]producers.Letter{}
	var order []string
	for _, x := range chosen {
		if bySource[x.Source] == nil {
			order = append(order, x.Source)
		}
		bySource[x.Source] = append(bySource[x.Source], c.letter(x))
	}
	for _, source := range order {
		if err := producers.CloseLetters(ctx, c.options(c.closing(source)), bySource[source], c.tell); err != nil {
			c.screen.endProgress()
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	c.screen.endProgress()
	what := "discarded"
	if c.retry {
		what = "retried"
	}
	fmt.Fprintf(c.out, "%s %s, %s closed before, %s still open.\n", thousands(int64(c.closed)), what, thousands(int64(c.before)), thousands(int64(c.open)))
	if c.open > 0 {
		return errAnswerIsNo
	}
	return nil
}

// closing is a source's configuration under the name that closes its letters.
func (c *letterCloser) closing(source string) SourceConfig {
	var conf SourceConfig // of a source that is gone
	for _, s := range c.c.Sources {
		if s.Name == source {
			conf = s
		}
	}
	conf.Name = producers.LettersSource
	return conf
}

// letter is what is to be done about one.
func (c *letterCloser) letter(x letter) producers.Letter {
	l := producers.Letter{ID: x.ID, Source: x.Source, Dataset: x.Dataset, Closing: producers.Closing{At: time.Now().UTC().Truncate(time.Microsecond), By: c.o.by, Why: c.o.why}}
	if !c.retry {
		return l
	}
	if c.corrected != nil {
		sum := sha256.Sum256(c.corrected)
		l.Closing.Corrected, l.Closing.SHA256 = true, fmt.Sprintf("%x", sum)
	}
	l.Bring = func(ctx context.Context, target producers.Target) (producers.Repaired, error) {
		full := x
		if err := c.each(ctx, clickhouse.DeadLetterFilter{Of: &x.DeadLetter, Raw: true}, "", func(found letter) error { full = found; return nil }); err != nil {
			return producers.Repaired{}, err
		}
		if full.Unproduced {
			return c.produce(ctx, target, full)
		}
		return producers.Repaired{}, c.store(ctx, full)
	}
	return l
}

// tell prints what became of a letter.
func (c *letterCloser) tell(r producers.LetterResult) {
	c.done++
	text := ""
	switch {
	case r.Err != nil:
		c.open++
		text = "still open: " + r.Err.Error()
	case r.Before:
		c.before++
		text = fmt.Sprintf("%s before, by %s at %s", r.Closing.State, r.Closing.By, r.Closing.At.UTC().Format(time.RFC3339))
	default:
		c.closed++
	}
	if text != "" || c.total <= 20 {
		if text == "" {
			text = string(r.Closing.State)
		}
		c.screen.endProgress()
		fmt.Fprintf(c.out, "%s %s\n", shortID(r.ID), text)
	}
	if c.total > 20 {
		c.progress("closing dead letters", int64(c.done), int64(c.total))
	}
}

func rejected(format string, args ...any) error {
	return &producers.Error{Class: producers.Reject, Err: fmt.Errorf(format, args...)}
}

// produce makes the record of a row that its producer rejected.
func (c *letterCloser) produce(ctx context.Context, target producers.Target, x letter) (producers.Repaired, error) {
	d := producers.DeadLetter{Dataset: x.Dataset, Place: x.Place, Raw: x.Raw, Size: x.Size, SHA256: x.SHA256, Reason: x.Reason, At: x.At, Context: x.Context}
	if c.corrected != nil {
		d.Raw, d.Size, d.SHA256 = c.corrected, int64(len(c.corrected)), nil
	}
	src, err := c.source(x.Source)
	if err != nil {
		return producers.Repaired{}, err
	}
	r, ok := src.(producers.Repairer)
	if !ok || d.Context == "" || int64(len(d.Raw)) < d.Size {
		return producers.Repaired{}, rejected("a retry cannot bring it in: %s", c.advice(x))
	}
	return r.Repair(ctx, target, d)
}

// source opens a source for repairs; nil for one whose rows cannot be made again.
func (c *letterCloser) source(name string) (producers.Source, error) {
	if s, ok := c.sources[name]; ok {
		return s, nil
	}
	var src producers.Source
	for _, s := range c.c.Sources {
		if s.Name == name && s.kind() == "files" {
			opened, err := files.New(*s.Files, filepath.Dir(c.c.path), c.log)
			if err != nil {
				return nil, err
			}
			src = opened
		}
	}
	if src != nil {
		c.sources[name] = src
	}
	return src, nil
}

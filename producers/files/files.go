// Package files is the source that reads files dropped into a folder: tables of text (CSV) and images, plain or packed in archives, one inside another. Each row of a
// table and each image becomes one Avro record with an `_origin` that says which file, entry and row it is.
//
// The folder is the truth and the watcher an alarm clock: every decision is made by a scan that reads the folder whole. A file is read once it is complete,
// in batches that each end at a row, and its position is stored with the rows. When the position that marks it done is committed, the file moves to
// processed/ below the folder, or to failed/ with a report beside it when it could not be read. So after a crash at any moment reading goes on behind the last
// row that Kafka has, and a move that did not happen is made up for by the next scan.
//
// What a file is, is decided by its path and its content, in this order. The same path with the same size and times is the same file. A file that grew at its end
// goes on behind what was sent. A file with other content is a new file, and read from its start; rows sent of the old content stay, since they were
// there, and `_origin.modified` tells the two apart. A table under another name with the same content is not sent again (dedupe: content), unless the
// first one was given up half way: then it goes on where that stopped. Images are told apart by name as well, since the name says what they show.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas/faults"
)

var (
	_ producers.Source = (*Source)(nil)
	_ producers.Holder = (*Source)(nil)
)

// Source reads one folder.
type Source struct {
	reader
	log     *slog.Logger
	scanner scanner
	judge   judge
	alarm   *alarm // nil until Open
	ignored map[string]generation
	told    map[string]bool // by path and reason: said once
	// unreadable are the files that the last scan could not look into; reporter is told, where the target is one.
	unreadable map[string]error
	reporter   producers.Reporter
	queue      []found
	job        *job
	pending    int // files that the last scan saw and that are not complete

	lastScan time.Time     // when it ended
	tookScan time.Duration // how long it took
	again    time.Duration // after which a file may be complete

	mu     sync.Mutex // guards what follows, as Commit overlaps with Next
	files  map[string]*progress
	byHash map[string]string // path by content, of tables
	forget []string          // paths whose positions are needed no more
}

// progress is how far a file is.
type progress struct {
	position
	committed bool // the position is durable and the file moved where it belongs, or due to be by the next scan
}

// New makes a source from its configuration. base is the folder of the configuration file; a nil log discards. Nothing is read but the schemas, and nothing is
// opened but the folder.
func New(c Config, base string, log *slog.Logger) (*Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, &producers.Error{Class: producers.Stop, Err: err}
	}
	folder := c.Folder
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(base, folder)
	}
	datasets, err := compileDatasets(c, base)
	if err != nil {
		return nil, &producers.Error{Class: producers.Stop, Err: err}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		err = faults.RecognizeFile(fmt.Errorf("open folder: %w", err))
		if _, known := faults.Known(err); !known {
			err = faults.FileMissing.With(err, "make the folder, or correct `folder` in the configuration")
		}
		return nil, err
	}
	s := &Source{
		reader:  reader{config: c, root: root, datasets: datasets, batchBytes: batchBytes, batchRecords: batchRecords},
		log:     log,
		ignored: map[string]generation{}, told: map[string]bool{}, files: map[string]*progress{}, byHash: map[string]string{},
	}
	s.judge = judge{root: root, settle: c.Settle, marker: c.Marker, rests: map[string]rest{}}
	s.scanner = scanner{root: root, marker: c.Marker, refused: s.tellOnce}
	for _, p := range c.Ignore {
		g, err := compileGlob(p)
		if err != nil {
			return nil, errors.Join(err, root.Close())
		}
		s.scanner.ignore = append(s.scanner.ignore, g)
	}
	return s, nil
}

func (s *Source) tellOnce(path, why string) {
	if key := path + "\x00" + why; !s.told[key] {
		s.told[key] = true
		s.log.Warn("file is not read", "path", path, "reason", why)
	}
}

// Open makes the topics ready and takes up the positions.
func (s *Source) Open(ctx context.Context, target producers.Target, positions map[string]string) error {
	if err := s.reader.open(ctx, target); err != nil {
		return err
	}
	s.reporter, _ = target.(producers.Reporter)
	if err := s.Remember(positions); err != nil {
		return err
	}
	s.alarm = newAlarm(s.root.Name(), s.log)
	s.scanner.entered = s.alarm.watch
	return nil
}

// Remember takes up positions without opening anything, as they were committed for this source. Held then knows which of several equal files was sent.
func (s *Source) Remember(positions map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, text := range positions {
		p, err := parsePosition(text)
		if err != nil {
			return fmt.Errorf("part %s: %w", name, err)
		}
		s.files[p.path] = &progress{position: p, committed: true}
		if p.state != duplicate && p.gen.hash != "" {
			s.byHash[p.gen.hash] = p.path
		}
	}
	for path, p := range s.files {
		if p.state != reading && s.forgets() {
			if _, err := s.root.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				s.forget = append(s.forget, path)
			}
		}
	}
	return nil
}

// forgets tells whether the position of a file that is done and gone serves no purpose.
func (s *Source) forgets() bool { return s.config.Processed != "leave" && s.config.Dedupe == "none" }

// Next returns the next rows. It blocks while the folder holds nothing that is complete and undone.
func (s *Source) Next(ctx context.Context) (producers.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return producers.Batch{}, err
		}
		if s.job != nil {
			b, ok, err := s.read(ctx)
			if ok || err != nil {
				return b, err
			}
			continue
		}
		if len(s.queue) > 0 {
			f := s.queue[0]
			s.queue = s.queue[1:]
			b, ok, err := s.start(ctx, f)
			if ok || err != nil {
				return b, err
			}
			continue
		}
		if err := s.lookAround(ctx); err != nil {
			return producers.Batch{}, err
		}
		if len(s.queue) == 0 && s.pending == 0 && !*s.config.Follow {
			return producers.Batch{}, io.EOF
		}
		if len(s.queue) == 0 {
			if err := s.wait(ctx); err != nil {
				return producers.Batch{}, err
			}
		}
	}
}

// read returns the next batch of the file that is being read; ok is false when the file turned out to be another than it was.
func (s *Source) read(ctx context.Context) (producers.Batch, bool, error) {
	b, err := s.job.next(ctx)
	if errors.Is(err, errChanged) {
		s.log.Info("file changed while it was read; it is looked at again once it is at rest", "path", s.job.pos.path)
		err = s.job.close()
		s.job = nil
		return producers.Batch{}, false, err
	}
	if err != nil {
		return producers.Batch{}, false, err
	}
	s.mu.Lock()
	s.files[s.job.pos.path] = &progress{position: s.job.pos}
	b.Positions = append(b.Positions, s.forgotten()...)
	s.mu.Unlock()
	if s.job.pos.state != reading {
		err = s.job.close()
		s.job = nil
	}
	return b, true, err
}

// forgotten returns the positions that unmake those of files that are gone. s.mu is held.
func (s *Source) forgotten() []producers.Position {
	var all []producers.Position
	for _, path := range s.forget {
		if p, ok := s.files[path]; ok && p.committed {
			delete(s.files, path)
			delete(s.byHash, p.gen.hash)
			all = append(all, producers.Position{Part: part(path)})
		}
	}
	s.forget = nil
	return all
}

// Commit moves the files that are done where they belong.
func (s *Source) Commit(_ context.Context, positions []producers.Position) error {
	for _, p := range positions {
		if p.Text == "" {
			continue
		}
		pos, err := parsePosition(p.Text)
		if err != nil {
			return err
		}
		if err := s.finish(pos); err != nil {
			return err
		}
		s.mu.Lock()
		if known, ok := s.files[pos.path]; ok && known.position == pos {
			known.committed = true
		}
		if pos.state != reading && s.forgets() {
			s.forget = append(s.forget, pos.path)
		}
		s.mu.Unlock()
	}
	return nil
}

// Close releases the folder. It may be called without Open.
func (s *Source) Close(context.Context) error {
	var errs []error
	if s.job != nil {
		errs = append(errs, s.job.close())
		s.job = nil
	}
	if s.alarm != nil {
		errs = append(errs, s.alarm.close())
	}
	return errors.Join(append(errs, s.root.Close())...)
}

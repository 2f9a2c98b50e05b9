package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// heldTarget stands for Kafka when files are only counted.
type heldTarget struct{ limit int }

// Dataset implements producers.Target.
func (heldTarget) Dataset(_ context.Context, dataset string, _, _ *schemas.Schema) (producers.Dataset, error) {
	return producers.Dataset{Topic: dataset}, nil
}

// DeadLetter implements producers.Target. The record has no topic, by which Held knows it.
func (heldTarget) DeadLetter(producers.DeadLetter) *kgo.Record { return &kgo.Record{} }

// MaxRecordBytes implements producers.Target.
func (t heldTarget) MaxRecordBytes() int { return t.limit }

var _ producers.Target = heldTarget{}

// defaultRecordBytes is the largest record of a topic made by producers.Run with its defaults.
const defaultRecordBytes = 16 << 20

// inventory is one count of all files.
type inventory struct {
	reader reader
	tally  map[string]*tally
	byHash map[string]position // of tables, by content: where reading stopped
	row    []byte              // scratch
}

type tally struct {
	producers.Held
	decoder *schemas.Decoder
	columns *schemas.Columns
}

// counts is how often files are counted when some move away meanwhile.
const counts = 5

// Held implements producers.Holder: it reads every file again that is or was in the folder, by the code that sent it. Files that were deleted once they were
// done, and rows of a content that was replaced, are not there to be counted. A producer that moves a file away while it is counted makes it count anew.
func (s *Source) Held(ctx context.Context, report func(producers.Held)) error {
	for try := 1; ; try++ {
		v, err := s.count(ctx)
		if errors.Is(err, fs.ErrNotExist) && try < counts {
			continue
		}
		if err != nil {
			return err
		}
		for _, d := range s.datasets {
			report(v.tally[d.Name].Held)
		}
		if t := v.tally[""]; t != nil {
			report(t.Held) // files that could not be read at all and of no dataset
		}
		return nil
	}
}

func (s *Source) count(ctx context.Context) (*inventory, error) {
	limit := defaultRecordBytes
	if s.target != nil {
		limit = s.target.MaxRecordBytes()
	}
	v := &inventory{reader: s.reader, tally: map[string]*tally{}, byHash: map[string]position{}}
	if err := v.reader.open(ctx, heldTarget{limit}); err != nil {
		return nil, err
	}
	for _, d := range s.datasets {
		decoder, err := schemas.NewDecoder(d.value, d.value)
		if err != nil {
			return nil, fmt.Errorf("dataset %s: %w", d.Name, err)
		}
		v.tally[d.Name] = &tally{Held: producers.Held{Dataset: d.Name}, decoder: decoder, columns: schemas.NewColumns(d.value)}
	}
	for _, folder := range []string{failedFolder, processedFolder, "."} {
		if err := s.countFolder(ctx, v, folder); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (s *Source) countFolder(ctx context.Context, v *inventory, folder string) error {
	sc := scanner{root: s.root, marker: s.config.Marker, refused: func(string, string) {}}
	if folder == "." {
		sc.ignore = s.scanner.ignore
	}
	all, err := sc.scan(folder)
	if err != nil {
		return err
	}
	j := judge{root: s.root, settle: s.config.Settle, marker: s.config.Marker, rests: map[string]rest{}}
	for _, f := range all {
		path := f.path
		if folder != "." {
			path = originalPath(folder, f.path)
		} else if ok, _, err := j.complete(f, time.Now()); err != nil || !ok {
			continue // still being written: it is counted once it is complete
		}
		if folder == failedFolder && isReport(f.path, all) {
			continue
		}
		if err := s.countFile(ctx, v, f, path); err != nil {
			return err
		}
	}
	return nil
}

func isReport(name string, all []found) bool {
	for _, f := range all {
		if reportName(f.path) == name {
			return true
		}
	}
	return false
}

// countFile reads one file. path is where it was dropped.
func (s *Source) countFile(ctx context.Context, v *inventory, f found, path string) error {
	file, gen, err := openPlain(s.root, f.path)
	if err != nil {
		return fmt.Errorf("count file: %w", err)
	}
	j, err := s.countable(ctx, v, file, position{path: path, gen: gen, state: reading, line: 1})
	if j == nil || err != nil {
		return errors.Join(err, file.Close())
	}
	for j.pos.state == reading {
		b, err := j.next(ctx)
		if err == nil {
			err = v.add(b)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("count file %q: %w", f.path, err), j.close())
		}
	}
	v.byHash[j.pos.gen.hash] = j.pos
	return j.close()
}

// countable returns the job that reads a file, or nil when none of its rows count.
func (s *Source) countable(ctx context.Context, v *inventory, file *os.File, pos position) (*job, error) {
	what, err := v.reader.recognize(file, pos.path)
	if err != nil || what == isNothing {
		return nil, err
	}
	if pos.gen.hash, _, _, err = hashFile(ctx, file, -1); err != nil {
		return nil, err
	}
	s.mu.Lock()
	known, ok := s.files[pos.path]
	repeats := ok && known.state == duplicate && known.gen.sameFile(pos.gen)
	s.mu.Unlock()
	if repeats {
		return nil, nil
	}
	if what != isImage && s.config.Dedupe == "content" {
		switch like := v.byHash[pos.gen.hash]; like.state {
		case done:
			return nil, nil
		case failed:
			pos = goOn(pos, like)
		}
	}
	j, err := v.reader.begin(ctx, file, pos.path, pos)
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	return j, err
}

// add counts the rows of a batch.
func (v *inventory) add(b producers.Batch) error {
	for _, c := range b.Rows {
		t := v.tally[c.Dataset]
		if t == nil {
			t = &tally{Held: producers.Held{Dataset: c.Dataset}}
			v.tally[c.Dataset] = t
		}
		t.Rows += c.Produced + c.Rejected
		t.Rejected += c.Rejected
	}
	for _, r := range b.Records {
		t := v.tally[r.Topic]
		if r.Topic == "" || t == nil {
			continue
		}
		t.columns.Reset()
		if err := t.decoder.Decode(r.Value[schemas.FrameSize:], t.columns); err != nil {
			return fmt.Errorf("decode own row: %w", err)
		}
		v.row = t.columns.AppendCanonical(v.row[:0], 0)
		t.Digest.Add(v.row)
	}
	return nil
}

package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"adventureworks.example/extract/producers"
)

// start takes up a file that a scan found complete. ok tells that it was settled with one batch; otherwise s.job reads it, or there is nothing to do for now.
func (s *Source) start(ctx context.Context, f found) (b producers.Batch, ok bool, err error) {
	file, gen, err := openPlain(s.root, f.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.tellOnce(f.path, err.Error())
		}
		return b, false, nil
	}
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, file.Close())
		}
	}()
	if !gen.sameFile(f.gen) {
		s.alarm.ring() // it changed since the scan
		return b, false, nil
	}
	what, err := s.recognize(file, f.path)
	if err != nil {
		return b, false, err
	}
	if what == isNothing {
		s.ignored[f.path] = gen
		s.tellOnce(f.path, "no dataset matches it")
		return b, false, nil
	}
	pos, decided, err := s.whereFrom(ctx, file, position{path: f.path, gen: gen, state: reading, line: 1}, what)
	if err != nil || decided == wait {
		return b, false, s.unlessChanged(err, f.path)
	}
	if decided == sentAlready {
		pos.state = duplicate
		s.mu.Lock()
		defer s.mu.Unlock()
		s.files[pos.path] = &progress{position: pos}
		s.log.Info("file has the content of one that was sent", "path", pos.path, "like", s.byHash[pos.gen.hash])
		return producers.Batch{Positions: append([]producers.Position{{Part: part(pos.path), Text: pos.String()}}, s.forgotten()...)}, true, nil
	}
	s.job, err = s.reader.begin(ctx, file, f.path, pos)
	if errors.Is(err, errNothing) {
		s.ignored[f.path] = gen
		s.tellOnce(f.path, err.Error())
		return b, false, nil
	}
	if err != nil {
		return b, false, s.unlessChanged(err, f.path)
	}
	keep = true
	return b, false, nil
}

func (s *Source) unlessChanged(err error, path string) error {
	if errors.Is(err, errChanged) {
		s.log.Info("file changed while it was read; it is looked at again once it is at rest", "path", path)
		s.alarm.ring()
		return nil
	}
	return err
}

type decision uint8

const (
	readIt decision = iota
	sentAlready
	wait // for another file with the same content, of which it is not known yet what becomes of it
)

// whereFrom decides by what is known of the path and of the content where reading starts.
func (s *Source) whereFrom(ctx context.Context, file *os.File, pos position, what recognized) (position, decision, error) {
	s.mu.Lock()
	old, known := s.files[pos.path]
	s.mu.Unlock()
	if known && old.state == reading && old.gen.sameFile(pos.gen) {
		return old.position, readIt, nil
	}
	prefix := int64(-1)
	if known && what == isTable && old.gen.size < pos.gen.size && old.gen.size > 0 && (old.state == reading || s.config.Processed == "leave") {
		prefix = old.gen.size
	}
	whole, start, ended, err := hashFile(ctx, file, prefix)
	if err != nil {
		return pos, 0, err
	}
	if now, err := statFile(file); err != nil || !now.sameFile(pos.gen) {
		return pos, 0, errors.Join(err, errChanged)
	}
	pos.gen.hash = whole
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case known && old.gen.hash == whole && (old.state == reading || old.state == failed):
		return goOn(pos, old.position), readIt, nil // touched, or dropped again after it was given up
	case known && prefix >= 0 && old.gen.hash == start && ended && old.state != failed && old.state != duplicate:
		return goOn(pos, old.position), readIt, nil // grown
	case known && old.state == reading:
		s.log.Warn("file was replaced before all of it was sent; the rows sent stay, and the new content is read from its start", "path", pos.path, "rows", old.rows)
	}
	if what != isImage && s.config.Dedupe == "content" {
		return s.likeAnother(pos)
	}
	if known && old.gen.hash == whole && s.config.Processed == "leave" {
		return pos, sentAlready, nil // touched
	}
	return pos, readIt, nil
}

// likeAnother decides about a table by the others of the same content. s.mu is held.
func (s *Source) likeAnother(pos position) (position, decision, error) {
	other, ok := s.files[s.byHash[pos.gen.hash]]
	if !ok {
		s.byHash[pos.gen.hash] = pos.path
		return pos, readIt, nil
	}
	switch other.state {
	case done:
		return pos, sentAlready, nil
	case failed:
		s.byHash[pos.gen.hash] = pos.path
		return goOn(pos, other.position), readIt, nil
	}
	_, err := s.root.Lstat(other.path)
	if errors.Is(err, fs.ErrNotExist) { // it was renamed half way
		s.byHash[pos.gen.hash] = pos.path
		s.forget = append(s.forget, other.path)
		return goOn(pos, other.position), readIt, nil
	}
	s.pending++
	return pos, wait, nil
}

// goOn is the position of a file that continues where old stopped.
func goOn(pos, old position) position {
	path, gen := pos.path, pos.gen
	pos = old
	pos.path, pos.gen, pos.state, pos.reason, pos.rejected = path, gen, reading, "", 0
	return pos
}

// hashFile returns the SHA-256 of a file and that of its first prefix bytes (when prefix is not negative), and whether these end with a line feed.
func hashFile(ctx context.Context, file *os.File, prefix int64) (whole, start string, ended bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", "", false, fmt.Errorf("read file: %w", err)
	}
	h := sha256.New()
	buf := make([]byte, 256<<10)
	var at int64
	for {
		if err := ctx.Err(); err != nil {
			return "", "", false, err
		}
		part := buf
		if prefix > at {
			part = buf[:min(int64(len(buf)), prefix-at)]
		}
		n, err := file.Read(part)
		h.Write(part[:n])
		if at += int64(n); n > 0 && at == prefix {
			start, ended = hex.EncodeToString(h.Sum(nil)), part[n-1] == '\n'
		}
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), start, ended, nil
		}
		if err != nil {
			return "", "", false, fmt.Errorf("read file: %w", err)
		}
	}
}

package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas/faults"
)

// lookAround scans the folder for files to read.
func (s *Source) lookAround(ctx context.Context) error {
	started := time.Now()
	if err := s.checkFolder(); err != nil {
		return err
	}
	all, err := s.scanner.scan(".")
	if err != nil {
		return err
	}
	unreadable := map[string]error{}
	s.pending, s.again = 0, s.config.ScanEvery
	rests := s.judge.rests
	s.judge.rests = make(map[string]rest)
	for _, f := range all {
		if r, ok := rests[f.path]; ok {
			s.judge.rests[f.path] = r
		}
		if settled, err := s.settled(f); settled || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		ok, again, err := s.judge.complete(f, started)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			unreadable[f.path] = err // now; the next scan asks again
		case ok:
			s.queue = append(s.queue, f)
		default:
			s.pending++
			if again > 0 {
				s.again = min(s.again, again)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	s.tell(unreadable)
	s.lastScan = time.Now()
	s.tookScan = s.lastScan.Sub(started)
	return nil
}

// checkFolder sees that the folder is the one that was opened: one that was removed, moved or mounted over is opened anew by the next attempt.
func (s *Source) checkFolder() error {
	now, err := os.Stat(s.root.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return faults.FileMissing.With(fmt.Errorf("look at the folder: %w", err), "make the folder, or correct `folder` in the configuration")
	}
	if err != nil {
		return fmt.Errorf("look at the folder: %w", err)
	}
	opened, err := s.root.Stat(".")
	if err != nil {
		return fmt.Errorf("look at the folder: %w", err)
	}
	if !os.SameFile(now, opened) {
		return &producers.Error{Class: producers.Retry, Err: fmt.Errorf("folder %s is another one now", s.root.Name())}
	}
	return nil
}

// tell says which files wait to be readable, and which do no more.
func (s *Source) tell(unreadable map[string]error) {
	for path := range s.unreadable {
		if unreadable[path] == nil && s.reporter != nil {
			s.reporter.Waits(path, nil)
		}
	}
	for path, err := range unreadable {
		if s.reporter != nil {
			s.reporter.Waits(path, fmt.Errorf("file %q is not read: %w", path, err))
		} else {
			s.tellOnce(path, err.Error())
		}
	}
	s.unreadable = unreadable
}

// settled tells whether there is nothing to do about a file; a move that is due is made.
func (s *Source) settled(f found) (bool, error) {
	if g, ok := s.ignored[f.path]; ok && g.sameFile(f.gen) {
		return true, nil
	}
	var p progress // as it is now: Commit marks what is committed meanwhile
	s.mu.Lock()
	known, ok := s.files[f.path]
	if ok {
		p = *known
	}
	s.mu.Unlock()
	if !ok || p.state == reading || !p.gen.sameFile(f.gen) {
		return false, nil
	}
	if p.committed {
		return true, s.finish(p.position)
	}
	return true, nil
}

// wait blocks until there is a reason to scan again. Scans follow each other at a distance, however many events there are.
func (s *Source) wait(ctx context.Context) error {
	timer := time.NewTimer(s.again)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-s.alarm.rings:
	}
	timer.Reset(max(20*time.Millisecond, 2*s.tookScan) - time.Since(s.lastScan))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

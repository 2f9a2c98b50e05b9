package files

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// lookAround scans the folder for files to read.
func (s *Source) lookAround(ctx context.Context) error {
	started := time.Now()
	all, err := s.scanner.scan(".")
	if err != nil {
		return err
	}
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
			s.tellOnce(f.path, err.Error()) // not readable now; the next scan asks again
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
	s.lastScan = time.Now()
	s.tookScan = s.lastScan.Sub(started)
	return nil
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

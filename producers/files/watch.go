package files

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// alarm rings when something may have happened in a folder. It is only ever a reason to scan: events get lost (a full queue, a folder made and filled before it
// is watched, memory-mapped writes), and a network file system has none.
type alarm struct {
	rings   chan struct{} // one ring waits at most
	watcher *fsnotify.Watcher
	log     *slog.Logger
	root    string
	watched map[string]bool // by folder; belongs to the goroutine that scans
	mu      sync.Mutex      // guards gone
	gone    []string        // folders whose watch ended by itself
	stopped chan struct{}   // closed when the goroutine that listens has ended
}

// newAlarm watches nothing yet. Where watching makes no sense or is not possible it returns an alarm that never rings.
func newAlarm(root string, log *slog.Logger) *alarm {
	a := &alarm{rings: make(chan struct{}, 1), log: log, root: root, watched: map[string]bool{}}
	if remote, err := networkFS(root); err != nil || remote {
		log.Info("folder is on a network, so it is read at intervals instead of watched", "folder", root)
		return a
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("folder cannot be watched, so it is read at intervals", "folder", root, "err", err)
		return a
	}
	a.watcher, a.stopped = w, make(chan struct{})
	go a.listen()
	return a
}

func (a *alarm) listen() {
	defer close(a.stopped)
	for {
		select {
		case e, ok := <-a.watcher.Events:
			if !ok {
				return
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				a.mu.Lock()
				a.gone = append(a.gone, e.Name)
				a.mu.Unlock()
			}
			if e.Op != fsnotify.Chmod {
				a.ring()
			}
		case err, ok := <-a.watcher.Errors:
			if !ok {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				a.log.Warn("watching reported an error; the next scan makes up for it", "folder", a.root, "err", err)
			}
			a.ring()
		}
	}
}

func (a *alarm) ring() {
	select {
	case a.rings <- struct{}{}:
	default:
	}
}

// watch adds a folder below the root. It is called before the folder is read.
func (a *alarm) watch(dir string) {
	if a.watcher == nil {
		return
	}
	a.mu.Lock()
	gone := a.gone
	a.gone = nil
	a.mu.Unlock()
	for _, g := range gone {
		delete(a.watched, g)
	}
	name := filepath.Join(a.root, dir)
	if a.watched[name] {
		return
	}
	if err := a.watcher.Add(name); err != nil {
		if !errors.Is(err, fs.ErrNotExist) && len(a.watched) > 0 && !a.watched[""] {
			a.watched[""] = true // said once
			a.log.Warn("not every folder can be watched; they are read at intervals (raise fs.inotify.max_user_watches)", "folder", name, "err", err)
		}
		return
	}
	a.watched[name] = true
}

// close ends the watching and waits until the goroutine has ended.
func (a *alarm) close() error {
	if a.watcher == nil {
		return nil
	}
	err := a.watcher.Close()
	<-a.stopped
	return err
}

// networkFS tells whether a folder's changes can be made by other machines, which no event tells.
func networkFS(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, fmt.Errorf("look at file system: %w", &os.PathError{Op: "statfs", Path: dir, Err: err})
	}
	switch uint32(st.Type) {
	case 0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546, 0x01021997, 0x00c36400, 0x5346414f: // NFS, CIFS, SMB2, SMB, FUSE, 9P, Ceph, AFS
		return true, nil
	}
	return false, nil
}

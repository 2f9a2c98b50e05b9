package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Tree is a folder of programs in the cache: it is made once, whole or not at all, and served from then on.
type Tree struct {
	// Name is the folder's. It changes with what is in it.
	Name string
	// Inside is the folder in it that holds the programs.
	Inside string
	// Bytes is the room that making it needs.
	Bytes int64
	// Make fills an empty folder, Inside included, and returns the files that matter, relative to Inside.
	Make func(ctx context.Context, dir string) (files []string, err error)
}

// Ensure returns the path of Inside, having the folder made if it is not there or not whole. Several processes may call it at once: one makes, the others
// wait. cache is empty for CacheDir's; progress is told of waiting and may be nil.
func (t Tree) Ensure(ctx context.Context, cache string, progress func(Progress)) (path string, err error) {
	if cache == "" {
		if cache, err = CacheDir(); err != nil {
			return "", err
		}
	}
	if err := makeOwned(cache); err != nil {
		return "", err
	}
	dir := filepath.Join(cache, t.Name)
	inside := filepath.Join(dir, t.Inside)
	if t.complete(dir) {
		return inside, nil
	}
	lock, err := acquire(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if t.complete(dir) { // the process we waited for has done it
		return inside, nil
	}
	// What stands there under the lock is left from a process that was killed.
	stale, err := filepath.Glob(dir + ".tmp-*")
	if err != nil {
		return "", err
	}
	for _, old := range append(stale, dir) {
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	return inside, t.make(ctx, cache, dir)
}

func acquire(ctx context.Context, path string, progress func(Progress)) (*os.File, error) {
	lock, err := lockNow(path)
	if !errors.Is(err, errLocked) {
		return lock, err
	}
	if progress != nil {
		progress(Progress{Phase: PhaseWait})
	}
	return lockWait(ctx, path)
}

func (t Tree) make(ctx context.Context, cache, dir string) error {
	if free, ok := freeBytes(cache); ok && free < t.Bytes {
		return fmt.Errorf("%s has %d MB free and %d MB are needed: free some, or set EXTRACT_CACHE to a folder on a larger disk",
			cache, free>>20, t.Bytes>>20)
	}
	temporary, err := os.MkdirTemp(cache, t.Name+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	files, err := t.Make(ctx, temporary)
	if err != nil {
		return err
	}
	if err := t.writeSizes(temporary, files); err != nil {
		return err
	}
	if err := os.Rename(temporary, dir); err != nil {
		return err
	}
	return syncDir(cache)
}

// sizesFile lists the files that matter and their sizes. It is written last, so that an installation cut short by a power failure, or
// nibbled at by a cleaner of temporary files, is noticed and made again.
const sizesFile = "sizes.json"

func (t Tree) writeSizes(dir string, files []string) error {
	sizes := map[string]int64{}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(dir, t.Inside, name))
		if err != nil {
			return fmt.Errorf("the installation left out a file: %w", err)
		}
		sizes[name] = info.Size()
	}
	text, err := json.Marshal(sizes)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, sizesFile), text, 0o644)
}

func (t Tree) complete(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, sizesFile))
	sizes := map[string]int64{}
	if err != nil || json.Unmarshal(text, &sizes) != nil || len(sizes) == 0 {
		return false
	}
	for name, size := range sizes {
		if info, err := os.Stat(filepath.Join(dir, t.Inside, name)); err != nil || info.Size() != size {
			return false
		}
	}
	return true
}

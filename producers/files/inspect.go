package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// errNothing is returned for an archive in which no dataset matches anything.
var errNothing = errors.New("no dataset matches anything in it")

// inspect reads an archive to its end without sending anything. It returns which of its leaves repeat the content of an earlier one, and a *refusal when the
// archive is broken, beyond a limit, or holds a table that does not fit its dataset. A plain file is not read.
func (j *job) inspect(ctx context.Context) (repeat map[int]bool, err error) {
	l, err := j.openLeaves(ctx, j.pos.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if l.plain {
		return nil, nil
	}
	repeat = map[int]bool{}
	seen := map[[sha256.Size + 2]byte]bool{}
	for {
		f, err := l.next()
		if err == io.EOF {
			if l.number == 0 {
				return nil, errNothing
			}
			return repeat, nil
		}
		if err != nil {
			return nil, err
		}
		i := j.reader.datasetOf(j.pos.path, f.entries)
		key, err := j.inspectLeaf(i, f)
		if err != nil {
			return nil, err
		}
		if j.reader.datasets[i].Format == "csv" && j.reader.config.Dedupe == "content" {
			repeat[f.number] = seen[key]
			seen[key] = true
		}
	}
}

// inspectLeaf reads a leaf to its end and returns its hash with its dataset.
func (j *job) inspectLeaf(dataset int, f leaf) (key [sha256.Size + 2]byte, err error) {
	d := j.reader.datasets[dataset]
	if d.Format == "csv" {
		// The head is only peeked at, so that all of the leaf is hashed below.
		head, err := f.src.Peek(headSize)
		if err != nil && err != io.EOF {
			return key, broken(f.entry(), err)
		}
		if _, _, err := readHeader(d, strings.NewReader(string(head)), head, 1<<20); err != nil && err != io.EOF {
			return key, describe(f.entry(), err)
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, f.src); err != nil {
		return key, broken(f.entry(), err)
	}
	h.Sum(key[:0])
	key[sha256.Size], key[sha256.Size+1] = byte(dataset), byte(dataset>>8)
	return key, nil
}

// hiddenEntry tells of entries that only their maker's system wants, such as .DS_Store.
func hiddenEntry(entries []string) bool {
	name := entries[len(entries)-1]
	return strings.HasPrefix(path.Base(name), ".") || strings.HasPrefix(name, "__MACOSX/") || strings.Contains(name, "/__MACOSX/")
}

// describe adds to a refusal where it was found.
func describe(place string, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return refuse("%s: %s", place, r.reason)
	}
	return fmt.Errorf("%s: %w", place, err)
}

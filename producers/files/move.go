package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"adventureworks.example/extract/schemas/faults"
)

// reportName is the path of the report beside a file in failed/. A name that would be too long for the file system is cut.
func reportName(name string) string {
	const suffix, longest = ".report.txt", 255
	if base := path.Base(name); len(base)+len(suffix) > longest {
		name = name[:len(name)-len(base)+longest-len(suffix)]
	}
	return name + suffix
}

// finish puts a file whose end is committed where it belongs. It does nothing when that is done already, or when another file has taken the path since.
func (s *Source) finish(p position) error {
	if p.state == reading || s.config.Processed == "leave" {
		return nil
	}
	err := s.putAway(p)
	if err == nil {
		return nil
	}
	err = faults.RecognizeFile(fmt.Errorf("put file %q away: %w", p.path, err))
	if _, known := faults.Known(err); !known {
		err = faults.FileRefused.With(err, "let this program write in the folder and everything below it, and leave room on its disk")
	}
	return err
}

func (s *Source) putAway(p position) error {
	f, gen, err := openPlain(s.root, p.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	f.Close()
	if !gen.sameFile(p.gen) {
		return nil
	}
	folder := processedFolder
	switch {
	case p.state == failed:
		folder = failedFolder
	case s.config.Processed == "delete":
		if err := s.root.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case p.state == duplicate:
		folder = duplicateFolder
	}
	to, err := freePlace(s.root, folder, p.path)
	if err != nil {
		return err
	}
	if p.state == failed {
		if err := writeReport(s.root, reportName(to), p); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if err := move(s.root, p.path, to, p.gen.hash); err != nil {
		return err
	}
	if strings.HasPrefix(s.config.Marker, ".") {
		s.root.Rename(p.path+s.config.Marker, to+s.config.Marker) // a marker left behind would only say that nothing is complete
	}
	s.log.Info("file is done", "path", p.path, "state", string(p.state), "to", to, "rows", p.rows, "rejected", p.rejected)
	return nil
}

// numbered is the first folder of a path in processed/ that had to give way. A dropped path that looks the same gets one of its own.
var numbered = regexp.MustCompile(`\A~[0-9]+(/|\z)`)

// freePlace returns a path in folder that nothing has: the same path below it, or below a numbered folder in it.
func freePlace(root *os.Root, folder, name string) (string, error) {
	for n := 1; n < 1_000_000; n++ {
		to := folder + "/" + name
		if n > 1 || numbered.MatchString(name) {
			to = folder + "/~" + strconv.Itoa(n) + "/" + name
		}
		err := root.MkdirAll(path.Dir(to), 0o755)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrExist) {
			continue // a file is where a folder of this path would be
		}
		if err != nil {
			return "", err
		}
		if _, err := root.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("there are a million files of this path in %s", folder)
}

// originalPath undoes freePlace: the path that a file had below the folder before it moved to folder.
func originalPath(folder, name string) string {
	name = strings.TrimPrefix(name, folder+"/")
	if m := numbered.FindString(name); m != "" && strings.HasSuffix(m, "/") {
		return name[len(m):]
	}
	return name
}

// move renames a file, or copies it where the new place is on another device. A rename that a power cut undoes is made again by the next scan, as the position
// is durable; so only the copy, which removes the file it was made of, waits for the disk.
func move(root *os.Root, from, to, hash string) error {
	err := root.Rename(from, to)
	if errors.Is(err, unix.EXDEV) {
		return copyOver(root, from, to, hash)
	}
	return err
}

// copyOver copies a file to another device, checks what arrived against the hash, and removes the first one.
func copyOver(root *os.Root, from, to, hash string) (err error) {
	src, err := root.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	half := path.Join(path.Dir(to), ".extract-copy.part")
	dst, err := root.OpenFile(half, os.O_RDWR|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	if _, err := dst.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, dst); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return fmt.Errorf("the copy of %q has the SHA-256 %s, not %s", from, got, hash)
	}
	if err := root.Chtimes(half, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	if err := root.Rename(half, to); err != nil {
		return err
	}
	if err := syncFolder(root, path.Dir(to)); err != nil {
		return err
	}
	return root.Remove(from)
}

func syncFolder(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed with all that was in it
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeReport says beside a failed file why it is there.
func writeReport(root *os.Root, name string, p position) error {
	text := fmt.Sprintf("%s\nwas not read to its end: %s\n\nrows sent: %d\nrows in the dead letters: %d\nstopped at: entry %d, row %d, line %d, byte %d\nsize: %d bytes\nSHA-256: %s\n\n"+
		"Repair the file or the configuration and drop the file again. The same file goes on where it stopped; a changed one is read from its start.\n",
		pathText(p.path), p.reason, p.rows-p.rejected, p.rejected, p.leaf, p.row, p.line, p.offset, p.gen.size, p.gen.hash)
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(root, path.Dir(name))
}

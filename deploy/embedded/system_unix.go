//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// credential is the user that a child runs as.
type credential = syscall.Credential

// errLocked is returned by lockNow for a file that another process holds.
var errLocked = errors.New("locked by another process")

// lockNow locks a file, making it first, or returns errLocked. The lock lasts until the file is closed here and in every child that was given it.
func lockNow(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// lockWait is lockNow for a lock that will be given free: it asks again until ctx ends.
func lockWait(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := lockNow(path)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is %w: %w", path, errLocked, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeBytes is the room that an ordinary user has left where path is.
func freeBytes(path string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// makeOwned makes a folder that everybody may read and only we may write, and refuses one that somebody else could have filled.
func makeOwned(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("%w: set EXTRACT_CACHE to a folder that you may write", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if uid := owner(info); uid != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to user %d with mode %v, so others could have put programs there: set EXTRACT_CACHE to a folder that only you may write",
			path, uid, info.Mode().Perm())
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// standIn is the user that runs Postgres in root's place: nobody. It is nil for an ordinary user, who runs it himself.
func standIn() (*credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("postgres refuses to run as root, and the user nobody is not there to run it: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func chown(path string, c *credential) error {
	if c == nil {
		return nil
	}
	return os.Lchown(path, int(c.Uid), int(c.Gid))
}

func attributes(c *credential) *syscall.SysProcAttr {
	// A process group of its own keeps a Ctrl-C in the terminal from reaching the child before its parent has stopped it.
	a := &syscall.SysProcAttr{Credential: c, Setpgid: true}
	setDeathSignal(a)
	return a
}

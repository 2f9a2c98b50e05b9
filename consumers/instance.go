package consumers

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

const maxInstances = 256

// TakeInstance takes the first free name for this process in a group on this host: `<host>-0`, `<host>-1` and so on. A name is a locked file
// in dir, and the kernel frees the lock when the process dies, however it dies. So a process that is killed and started again has the
// name it had, and the group hands it its partitions at once. Call release at the end.
func TakeInstance(dir, group string) (name string, release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("take instance of group %s: %w", group, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", nil, fmt.Errorf("take instance of group %s: %w", group, err)
	}
	odd := regexp.MustCompile(`[^A-Za-z0-9._-]`)
	for n := range maxInstances {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.lock", odd.ReplaceAllString(group, "_"), n))
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return "", nil, fmt.Errorf("take instance of group %s: %w", group, err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			continue
		}
		return fmt.Sprintf("%s-%d", odd.ReplaceAllString(host, "_"), n), func() { f.Close() }, nil
	}
	return "", nil, fmt.Errorf("take instance of group %s: all %d names in %s are taken", group, maxInstances, dir)
}

package embedded

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// On Windows the stack cannot run: Install says so before anything below is reached.

var errLocked = errors.New("locked by another process")

func lockNow(string) (*os.File, error)                    { return nil, ErrPlatform }
func lockWait(context.Context, string) (*os.File, error)  { return nil, ErrPlatform }
func freeBytes(string) (int64, bool)                      { return 0, false }
func makeOwned(string) error                              { return ErrPlatform }
func standIn() (*syscall.Credential, error)               { return nil, ErrPlatform }
func chown(string, *syscall.Credential) error             { return ErrPlatform }
func attributes(*syscall.Credential) *syscall.SysProcAttr { return nil }

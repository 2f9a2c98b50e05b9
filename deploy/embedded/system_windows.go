package embedded

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// On Windows the stack cannot run: Install says so before anything below is reached.

type credential struct{ Uid, Gid uint32 }

var errLocked = errors.New("locked by another process")

func lockNow(string) (*os.File, error)                   { return nil, ErrPlatform }
func lockWait(context.Context, string) (*os.File, error) { return nil, ErrPlatform }
func freeBytes(string) (int64, bool)                     { return 0, false }
func makeOwned(string) error                             { return ErrPlatform }
func standIn() (*credential, error)                      { return nil, ErrPlatform }
func chown(string, *credential) error                    { return ErrPlatform }
func attributes(*credential) *syscall.SysProcAttr        { return nil }

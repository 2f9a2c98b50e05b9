//go:build unix && !linux

package embedded

import "syscall"

func setDeathSignal(*syscall.SysProcAttr) {}
func killAtDeath(*syscall.SysProcAttr)    {}

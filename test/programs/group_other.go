//go:build !linux

package programs

import "syscall"

// ownGroup is a process group of its own. Only Linux can also tie a program's life to
// ours: elsewhere one that is killed leaves its programs running.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

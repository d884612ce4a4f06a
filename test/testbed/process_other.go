//go:build !linux

package testbed

import "syscall"

// ownGroup puts a program into its own process group. Only Linux can also tie its life to ours:
// elsewhere a killed test binary leaves its cluster running.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// pause freezes the program, a moment after it returns.
func (p *process) pause() { p.signal(syscall.SIGSTOP) }

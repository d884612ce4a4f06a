//go:build !linux

package testbed

import "syscall"

// pause freezes the program, a moment after it returns.
func (p *process) pause() { p.signal(syscall.SIGSTOP) }

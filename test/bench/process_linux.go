package main

import "syscall"

// ownGroup keeps the terminal's Ctrl-C away from a program, which is stopped in order
// instead, and has the kernel end it should the benchmark die without a word.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

//go:build !linux

package main

import "syscall"

// ownGroup keeps the terminal's Ctrl-C away from a program, which is stopped in order
// instead.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

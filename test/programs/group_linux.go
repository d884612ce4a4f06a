package programs

import "syscall"

// ownGroup is a process group of its own, and the kernel's word that the program is
// killed when the thread that started it ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

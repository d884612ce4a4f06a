package testbed

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pause returns when every thread stands still. The signal alone does not wait for that, and a
// busy server would answer a few more requests.
func (p *process) pause() {
	p.signal(syscall.SIGSTOP)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOHANG, nil)
		if info.Signo != 0 || err == unix.ECHILD {
			return
		}
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
	}
}

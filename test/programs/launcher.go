// Package programs builds and runs the programs that tests, benchmarks and the demo are
// about, so that none of them outlives who started it.
package programs

import (
	"errors"
	"os/exec"
	"runtime"
)

// Launcher starts programs that die with this one, by whatever cause (on Linux). The
// kernel sends the signal for that when the thread that forked ends, not the process:
// started from an ordinary goroutine, a program would be killed whenever the runtime
// gives up that goroutine's thread. So all starts happen on one thread, which lives
// until Close.
type Launcher struct {
	starts chan func()
	closed chan struct{}
}

// NewLauncher begins the thread.
func NewLauncher() *Launcher {
	l := &Launcher{starts: make(chan func()), closed: make(chan struct{})}
	go l.serve()
	return l
}

func (l *Launcher) serve() {
	runtime.LockOSThread() // and never unlocked: the thread ends with this function
	for {
		select {
		case start := <-l.starts:
			start()
		case <-l.closed:
			return
		}
	}
}

// Launch does what cmd.Start does, on the thread. The program gets its own process group:
// a terminal's Ctrl-C does not reach it.
func (l *Launcher) Launch(cmd *exec.Cmd) error {
	cmd.SysProcAttr = ownGroup()
	result := make(chan error, 1)
	select {
	case l.starts <- func() { result <- cmd.Start() }:
		return <-result
	case <-l.closed:
		return errors.New("the launcher is closed")
	}
}

// Close ends the thread, once. The kernel then kills what was started and still runs; who
// wants an orderly end stops it before.
func (l *Launcher) Close() { close(l.closed) }

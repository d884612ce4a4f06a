//go:build linux

package guest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/ibfabric/ibfabric/test/programs"
)

// Live is a guest that runs until it is killed. It dies with this program.
type Live struct {
	// Control and Line are the guest's serial ports ttyS1 and ttyS2. What is sent before the
	// guest has opened one is lost.
	Control, Line net.Conn

	cmd      *exec.Cmd
	launcher *programs.Launcher
	monitor  *monitor
	done     chan struct{}
	ended    error // once done is closed

	mu      sync.Mutex // protects console
	console bytes.Buffer
}

// Start boots a system.
func (m *Machine) Start(s System) (*Live, error) { return m.start(s) }

// Restore goes on where Save stopped a system. The guest's clock stands still meanwhile.
func (m *Machine) Restore(ctx context.Context, s System, snapshot string) (*Live, error) {
	if _, err := os.Stat(snapshot); err != nil {
		return nil, err
	}
	l, err := m.start(s, "-incoming", "file:"+snapshot)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, l.Kill)()
	// What its ports are told before is lost.
	if err := l.monitor.running(); err != nil {
		l.Kill()
		return nil, fmt.Errorf("restoring the guest: %w; %w", err, l.Ended())
	}
	return l, nil
}

func (m *Machine) start(s System, more ...string) (*Live, error) {
	l := &Live{done: make(chan struct{}), launcher: programs.NewLauncher()}
	var theirs []*os.File
	defer func() {
		for _, file := range theirs {
			_ = file.Close()
		}
	}()
	var console, monitor net.Conn
	for _, ours := range []*net.Conn{&console, &l.Control, &l.Line, &monitor} {
		conn, file, err := socketPair()
		if err != nil {
			return nil, err
		}
		*ours, theirs = conn, append(theirs, file)
	}
	l.monitor = newMonitor(monitor)
	words := append(m.qemu[1:len(m.qemu):len(m.qemu)], s.arguments(m.kernel)...)
	l.cmd = exec.Command(m.qemu[0], append(words, more...)...)
	l.cmd.ExtraFiles = theirs // 3 to 6 in QEMU
	l.cmd.Stderr = l
	if err := l.launcher.Launch(l.cmd); err != nil {
		l.launcher.Close()
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, l.cmd.Process.Pid, 10)
	go l.listen(console)
	return l, nil
}

// listen keeps what the console says until the guest ends.
func (l *Live) listen(console io.ReadCloser) {
	_, _ = io.Copy(l, console) // until QEMU closes it
	err := l.cmd.Wait()
	for _, conn := range []io.Closer{console, l.Control, l.Line, l.monitor.conn} {
		_ = conn.Close()
	}
	l.launcher.Close()
	l.ended = fmt.Errorf("the guest ended: %w; its console's last lines:\n%s", cmp.Or(err, errors.New("powered off")), lastWords(l.Console()))
	close(l.done)
}

// Write takes what console and QEMU say.
func (l *Live) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.console.Write(text)
}

// Console is all that the guest's console has said, and QEMU itself.
func (l *Live) Console() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.console.String()
}

// Done is closed when the guest has ended, by whatever cause.
func (l *Live) Done() <-chan struct{} { return l.done }

// Ended is nil while the guest runs; afterwards it has the console's last words.
func (l *Live) Ended() error {
	select {
	case <-l.done:
		return l.ended
	default:
		return nil
	}
}

// Forward passes what comes to a port of 127.0.0.1 on to an address of the guest's, as
// "10.0.2.15:443", until the guest ends.
func (l *Live) Forward(port int, to string) error {
	if err := l.monitor.forward(port, to); err != nil {
		return fmt.Errorf("passing port %d on to the guest's %s: %w", port, to, err)
	}
	return nil
}

// Kill cuts the guest's power.
func (l *Live) Kill() {
	_ = l.cmd.Process.Kill() // it may have ended
	<-l.done
}

// Save writes the guest's state to a file and ends it. An error leaves none.
func (l *Live) Save(ctx context.Context, file string) error {
	defer l.Kill()
	defer context.AfterFunc(ctx, l.Kill)()
	draft := file + ".draft"
	if err := l.monitor.migrate(draft); err != nil {
		_ = os.Remove(draft)
		return fmt.Errorf("saving the guest: %w; its console's last lines:\n%s", err, lastWords(l.Console()))
	}
	return os.Rename(draft, file)
}

package programs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// StopWithin is what a program of ours needs at most to end by itself, on a busy machine too:
// the controller finishes its last write to UFM.
const StopWithin = time.Minute

// Command says what to run.
type Command struct {
	Program string // its path
	Args    []string
	Env     []string  // in addition to Environment; of a name given twice the last counts
	Log     string    // file that what it writes is appended to
	Out     io.Writer // takes what it writes when there is no Log
}

// Process is a program that was started.
type Process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// Start runs a command.
func (l *Launcher) Start(c Command) (*Process, error) {
	p := &Process{name: filepath.Base(c.Program), log: c.Log, cmd: exec.Command(c.Program, c.Args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(Environment(), c.Env...), c.Out, c.Out
	if c.Log != "" {
		out, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("open the log of %s: %w", p.name, err)
		}
		defer out.Close() // the program holds its own
		p.cmd.Stdout, p.cmd.Stderr = out, out
	}
	if err := l.Launch(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// Log is the file that the program writes to; "" is none.
func (p *Process) Log() string { return p.log }

// Pid is the program's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended is nil while the program runs; afterwards it says how it ended, with the last
// words of its log.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %s%s", p.name, p.cmd.ProcessState, p.lastWords())
	default:
		return nil
	}
}

func (p *Process) lastWords() string {
	if p.log == "" {
		return ""
	}
	return "; its last words:\n" + p.Tail(15)
}

// Tail is the end of the program's log, indented.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// Signal sends a signal to the program, unless it has ended. It goes through the process
// handle, which cannot hit a stranger that took over the number.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the program by force, a paused one too, and waits for it.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the program to end, as Kubernetes does, and waits; an error says that it had
// to be killed. Of a nil Process there is nothing to stop.
func (p *Process) Stop(within time.Duration) error {
	if p == nil {
		return nil
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(within):
		select {
		case <-p.done: // both are ready after a pause of the machine, and select takes either
			return nil
		default:
		}
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", p.name, within)
	}
}

// CPU is the processor time of a program that has ended.
func (p *Process) CPU() time.Duration {
	<-p.done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is one program of the cluster, with its log in a file.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// run starts a program of the bed. It gets an environment of its own, so that a KUBECONFIG or
// a proxy of the person who runs the test changes nothing.
func (c *Cluster) run(name string, args ...string) (*process, error) {
	p := &process{name: name, log: fmt.Sprintf("%s/%s.log", c.logs, name), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer out.Close() // the program holds its own
	p.cmd = exec.Command(c.bin+"/"+name, args...)
	p.cmd.Dir = c.dir
	p.cmd.Env = []string{"HOME=" + c.dir, "TMPDIR=" + c.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	p.cmd.Stdout, p.cmd.Stderr = out, out

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, errStopped
	}
	if err := c.launcher.Launch(p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c.processes = append(c.processes, p)
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// ready asks check until it has no objection, the program ends or the context does.
func (p *process) ready(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		last := check(attempt)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure(fmt.Errorf("ended early: %s", p.cmd.ProcessState))
		case <-ctx.Done():
			return p.failure(fmt.Errorf("not ready: %w: %w", ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// failure adds the end of the program's log to what went wrong, for by the time somebody reads
// the error the log may be gone.
func (p *process) failure(err error) error {
	text, readErr := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	last := strings.Join(lines[max(0, len(lines)-15):], "\n\t")
	return errors.Join(fmt.Errorf("%s %w; the end of %s:\n\t%s", p.name, err, p.log, last), readErr)
}

// signal goes through the process handle, which cannot hit a stranger that took over the number.
// None of the programs starts others, so there is no group to signal.
func (p *process) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // the one error, that it has ended already, is fine
}

// kill ends the program and waits for it. A paused one too.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

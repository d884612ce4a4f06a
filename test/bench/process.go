package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopWithin is what a program is given to end by itself.
const stopWithin = 10 * time.Second

// process is a contender that runs, with its log in a file.
type process struct {
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs a program. It is called on the main thread; see ownGroup.
func start(program, log string, env []string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", filepath.Base(program), err)
	}
	defer out.Close() // the program holds its own
	p := &process{log: log, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = env, out, out, ownGroup()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// ended has the last words of a program that has ended.
func (p *process) ended() error {
	<-p.done
	return fmt.Errorf("%s ended: %s; its last words:\n%s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.tail(15))
}

func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// says waits until the log has a text.
func (p *process) says(ctx context.Context, text string) error {
	for {
		all, err := os.ReadFile(p.log)
		if strings.Contains(string(all), text) {
			return nil
		}
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to say %q: %w (%v); its last words:\n%s", filepath.Base(p.cmd.Path), text, ctx.Err(), err, p.tail(15))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the program and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the one error, that it has ended already, is fine
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the processor time of a program that has ended.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// cleanEnvironment is ours without what would change the contenders' settings.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !hasAnyPrefix(kv, "UFM_", "IBFABRIC_", "DAEMON_", "GUID_POOL_", "POD_NAMESPACE=", "KUBECONFIG=", "GOMAXPROCS=", "GOGC=") {
			env = append(env, kv)
		}
	}
	return env
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

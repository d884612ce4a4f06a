package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopWithin is what a program is given to end by itself: the controller finishes its
// last write to UFM.
const stopWithin = 15 * time.Second

// process is a program of ours, with its log in a file.
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
		return nil, fmt.Errorf("start %s: %w; `make build` makes it", program, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// ended is nil while the program runs; afterwards it has its last words.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %s; its last words:\n%s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.tail(15))
	default:
		return nil
	}
}

func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// stop ends the program and waits for it. A nil process has ended long ago.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the one error, that it has ended already, is fine
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cleanEnvironment is ours without what would tell the programs other things than the
// demo does: a UFM_TOKEN of the real UFM, say.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !hasAnyPrefix(kv, "UFM_", "IBFABRIC_", "DAEMON_", "GUID_POOL_", "POD_NAMESPACE=", "KUBECONFIG=") {
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

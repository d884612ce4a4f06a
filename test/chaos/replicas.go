package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// restartAfter is when Kubernetes would start a container again that ended.
const restartAfter = 400 * milli

// replicas are the controllers, each started again when it ends.
type replicas struct {
	program string
	args    []string
	env     []string
	dir     string // of their logs

	running sync.WaitGroup
	mu      sync.Mutex // protects what follows
	slots   []*slot
	started int
	err     error // of the last start that failed
}

// slot is one replica of the Deployment.
type slot struct {
	gone chan struct{} // closed when it is taken away
	cmd  *exec.Cmd     // nil between two processes
}

func (r *replicas) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &slot{gone: make(chan struct{})}
	r.slots = append(r.slots, s)
	r.running.Go(func() { r.supervise(s) })
}

func (r *replicas) supervise(s *slot) {
	for {
		if err := r.runOnce(s); err != nil {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
		}
		select {
		case <-s.gone:
			return
		case <-time.After(restartAfter):
		}
	}
}

// runOnce runs one process to its end.
func (r *replicas) runOnce(s *slot) error {
	cmd, out, err := r.start(s)
	if cmd == nil || err != nil {
		return err
	}
	_ = cmd.Wait() // how it ended is in its log
	r.mu.Lock()
	s.cmd = nil
	r.mu.Unlock()
	return out.Close()
}

func (r *replicas) start(s *slot) (*exec.Cmd, *os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-s.gone:
		return nil, nil, nil
	default:
	}
	r.started++
	out, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("controller-%d.log", r.started)))
	if err != nil {
		return nil, nil, fmt.Errorf("log of a controller: %w", err)
	}
	cmd := exec.Command(r.program, r.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), r.env...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start a controller: %w", err)
	}
	s.cmd = cmd
	return cmd, out, nil
}

// hit sends a signal to one of them, chosen by the dice, and says how to reach the same
// process again; nil is that none ran.
func (r *replicas) hit(dice *rand.Rand, sig os.Signal) *os.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[dice.IntN(len(r.slots))]
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig)
	return s.cmd.Process
}

func (r *replicas) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.slots)
}

// remove takes one away by force.
func (r *replicas) remove(dice *rand.Rand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := dice.IntN(len(r.slots))
	r.slots[i].end()
	r.slots = append(r.slots[:i], r.slots[i+1:]...)
}

// end is for a caller that holds the lock.
func (s *slot) end() {
	close(s.gone)
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
	}
}

func (r *replicas) signalAll(sig os.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.cmd != nil {
			_ = s.cmd.Process.Signal(sig)
		}
	}
}

// close ends all of them, and waits until they are gone.
func (r *replicas) close() {
	r.mu.Lock()
	for _, s := range r.slots {
		s.end()
	}
	r.slots = nil
	r.mu.Unlock()
	r.running.Wait()
}

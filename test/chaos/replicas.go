package chaos

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ibfabric/ibfabric/test/chaos/wallclock"
	"github.com/ibfabric/ibfabric/test/programs"
)

// restartAfter is when Kubernetes would start a container again that ended.
const restartAfter = 400 * milli

// replicas are the controllers, each started again when it ends.
type replicas struct {
	launcher  *programs.Launcher
	command   programs.Command // but for the log
	dir       string           // of their logs
	chronicle *chronicle

	running  sync.WaitGroup
	mu       sync.Mutex // protects what follows
	slots    []*slot
	started  int
	machines int
	err      error // of the last start that failed: none should
}

// slot is one replica of the Deployment.
type slot struct {
	clock string            // file of its machine's
	gone  chan struct{}     // closed when it is taken away
	run   *programs.Process // nil between two processes
	name  string            // of the last one
}

// add brings one more, unless there are as many as most.
func (r *replicas) add(most int) (added int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.slots) >= most {
		return 0
	}
	r.machines++
	s := &slot{gone: make(chan struct{}), clock: filepath.Join(r.dir, fmt.Sprintf("clock-%d", r.machines))}
	r.slots = append(r.slots, s)
	r.running.Go(func() { r.supervise(s) })
	return 1
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
	p, err := r.start(s)
	if p == nil || err != nil {
		return err
	}
	<-p.Done() // how it ended is in its log
	r.mu.Lock()
	defer r.mu.Unlock()
	s.run = nil
	r.chronicle.say("%s ended", s.name)
	return nil
}

func (r *replicas) start(s *slot) (*programs.Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-s.gone:
		return nil, nil
	default:
	}
	r.started++
	s.name = fmt.Sprintf("controller-%d", r.started)
	c := r.command
	c.Log = filepath.Join(r.dir, s.name+".log")
	c.Env = append(slices.Clone(c.Env), wallclock.FileVariable+"="+s.clock)
	var err error
	if s.run, err = r.launcher.Start(c); err == nil {
		r.chronicle.say("%s starts", s.name)
	}
	return s.run, err
}

// hit sends a signal to one of them, chosen by the dice, and says how to reach the same
// process again; nil is that none ran.
func (r *replicas) hit(dice *rand.Rand, sig syscall.Signal) *programs.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[dice.IntN(len(r.slots))]
	if s.run != nil {
		r.chronicle.say("%s gets signal %q", s.name, sig)
		s.run.Signal(sig)
	}
	return s.run
}

func (r *replicas) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.slots)
}

// remove takes one away by force, unless it is the last.
func (r *replicas) remove(dice *rand.Rand) (removed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.slots) < 2 {
		return 0
	}
	i := dice.IntN(len(r.slots))
	r.chronicle.say("%s is taken away", r.slots[i].name)
	r.slots[i].end()
	r.slots = append(r.slots[:i], r.slots[i+1:]...)
	return 1
}

// setClock sets the clock of the machine that one of them runs on, and of its next one.
func (r *replicas) setClock(dice *rand.Rand) (hit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const hour, years = time.Hour, 10 * 365 * 24 * time.Hour
	choices := []time.Duration{0, 2 * second, -2 * second, holdTime, -holdTime, hour, -hour, years, -years}
	s, ahead := r.slots[dice.IntN(len(r.slots))], choices[dice.IntN(len(choices))]
	if err := wallclock.Set(s.clock, ahead); err != nil {
		r.err = err
		return 0
	}
	r.chronicle.say("the clock of %s is set %s ahead", s.name, ahead)
	return 1
}

// end is for a caller that holds the lock.
func (s *slot) end() {
	close(s.gone)
	if s.run != nil {
		s.run.Signal(syscall.SIGKILL)
	}
}

func (r *replicas) signalAll(sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.run != nil {
			s.run.Signal(sig)
		}
	}
}

// close ends all of them, waits until they are gone, and says whether one did not start.
func (r *replicas) close() error {
	r.mu.Lock()
	for _, s := range r.slots {
		s.end()
	}
	r.slots = nil
	r.mu.Unlock()
	r.running.Wait()
	r.launcher.Close()
	return r.err
}

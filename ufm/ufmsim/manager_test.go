package ufmsim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/pkey"
)

// manager is a subnet manager with a file that can be full and a sweep that takes time.
type manager struct {
	mu     sync.Mutex // protects what follows
	file   []Partition
	fabric []Partition
	store  error // what Store fails with
	apply  error // what Apply fails with, after its time
	takes  time.Duration
	sweeps int
}

func (m *manager) Load() ([]Partition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.file, m.store
}

func (m *manager) Store(parts []Partition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store == nil {
		m.file = parts[:len(parts)-1] // management is the last one
	}
	return m.store
}

// Apply takes the file as it is at the beginning, as a sweep may.
func (m *manager) Apply(ctx context.Context) error {
	m.mu.Lock()
	m.sweeps++
	file, err, takes := m.file, m.apply, m.takes
	m.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err == nil {
		m.mu.Lock()
		m.fabric = file
		m.mu.Unlock()
	}
	return err
}

func (m *manager) swept() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sweeps
}

func (m *manager) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// applied are the entries of changes that the fabric has.
func applied(s *Sim) (n int) {
	for _, e := range s.Journal() {
		if e.Op != OpApply && !e.Applied.IsZero() {
			n++
		}
	}
	return n
}

func TestAChangeIsAppliedWhenTheSubnetManagerHasSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{takes: time.Minute}
		s := newSim(t, Config{SubnetManager: m})
		time.Sleep(2 * time.Minute) // the first sweep is over
		was := s.LastUpdated()
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1, 2))
		time.Sleep(59 * time.Second)
		if len(s.Members(5)) != 2 || applied(s) != 0 || s.Settled() || !s.LastUpdated().Equal(was) || len(s.Applied()) != 1 {
			t.Errorf("before the sweep: %+v, last updated %s, was %s", s.Journal(), s.LastUpdated(), was)
		}
		time.Sleep(2 * time.Second)
		if applied(s) != 1 || !s.Settled() || !s.LastUpdated().After(was) {
			t.Errorf("after the sweep: %+v", s.Journal())
		}
		if diff := cmp.Diff(s.Partitions(), s.Applied()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatComesDuringASweepWaitsForTheNextAndGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{takes: time.Minute}
		s := newSim(t, Config{SubnetManager: m})
		time.Sleep(time.Second) // in the first sweep
		for n := range 20 {
			mustSend(t, s, "POST", "/resources/pkeys", addBody(5, n+1))
		}
		time.Sleep(time.Minute) // in the second
		mustSend(t, s, "POST", "/resources/pkeys", addBody(6, 1))
		if applied(s) != 0 {
			t.Errorf("the first sweep applied what came after its beginning: %+v", s.Journal())
		}
		time.Sleep(time.Minute)
		if now := s.Applied(); applied(s) != 20 || len(now) != 2 || len(now[0].Members) != 20 {
			t.Errorf("the second sweep applied %d: %v", applied(s), now)
		}
		time.Sleep(time.Minute)
		if applied(s) != 21 || m.swept() != 3 {
			t.Errorf("%d applied in %d sweeps", applied(s), m.swept())
		}
	})
}

func TestAChangeThatCannotBeStoredDidNotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{}
		s := newSim(t, Config{SubnetManager: m})
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1))
		before := s.Partitions()
		for err, want := range map[error]int{errors.New("disk full"): 500, fmt.Errorf("x: %w", ErrUnfit): 400} {
			m.set(func() { m.store = err })
			for _, call := range [][3]string{
				{"POST", "/resources/pkeys", addBody(5, 2)},
				{"POST", "/resources/pkeys", addBody(6, 2)},
				{"PUT", "/resources/pkeys", addBody(5, 7)},
				{"DELETE", "/resources/pkeys/0x5", ""},
				{"DELETE", "/resources/pkeys/0x5/guids/" + h(1), ""},
			} {
				if status, answer, _ := send(s, call[0], call[1], call[2]); status != want || !strings.Contains(answer, err.Error()) {
					t.Errorf("%v: %d %s", call, status, answer)
				}
			}
			if diff := cmp.Diff(before, s.Partitions()); diff != "" {
				t.Error(diff)
			}
		}
		m.set(func() { m.store = nil })
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 3))
		if diff := cmp.Diff([]pkey.Member{member(1, pkey.Full, false), member(3, pkey.Full, false)}, s.Members(5)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestASubnetManagerThatIsAwayIsAskedAgainAndSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{apply: errors.New("no OpenSM")}
		s := newSim(t, Config{SubnetManager: m})
		mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1))
		time.Sleep(time.Minute)
		if said := outcomes(s, OpApply); len(said) != 1 || !strings.Contains(said[0], "no OpenSM") || applied(s) != 0 || !s.LastUpdated().IsZero() {
			t.Errorf("%v, %+v", said, s.Journal())
		}
		m.set(func() { m.apply = errors.New("another reason") })
		time.Sleep(time.Minute)
		if said := outcomes(s, OpApply); len(said) != 2 {
			t.Errorf("another reason is news: %v", said)
		}
		m.set(func() { m.apply = nil })
		time.Sleep(time.Minute)
		swept := m.swept()
		if said := outcomes(s, OpApply); len(said) != 3 || !strings.HasPrefix(said[2], "done: 1 changes") || applied(s) != 1 {
			t.Errorf("%v, %+v", said, s.Journal())
		}
		time.Sleep(time.Hour)
		if m.swept() != swept {
			t.Errorf("%d sweeps for nothing", m.swept()-swept)
		}
	})
}

func outcomes(s *Sim, op Op) (said []string) {
	for _, e := range s.Journal() {
		if e.Op == op {
			said = append(said, e.Outcome)
		}
	}
	return said
}

func TestARestartFindsWhatTheSubnetManagerKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{takes: time.Hour}
		first := newSim(t, Config{SubnetManager: m})
		mustSend(t, first, "POST", "/resources/pkeys", addBody(5, 1))
		mustSend(t, first, "PUT", "/resources/pkeys/qos_conf", `{"pkey":"0x5","mtu_limit":4,"rate_limit":100}`)
		first.Close() // in the first sweep: nothing is applied
		m.set(func() { m.takes = 0 })
		second := newSim(t, Config{SubnetManager: m})
		if diff := cmp.Diff(first.Partitions(), second.Partitions()); diff != "" {
			t.Error(diff)
		}
		synctest.Wait()
		if diff := cmp.Diff(m.file, m.fabric); diff != "" || len(m.fabric) != 1 || second.LastUpdated().IsZero() {
			t.Error("a start does not apply what was left:", diff)
		}
		fork := second.Fork()
		defer fork.Close()
		mustSend(t, fork, "POST", "/resources/pkeys", addBody(6, 1))
		if len(m.file) != 1 || len(fork.Partitions()) != 3 {
			t.Errorf("a fork changes the subnet manager's file: %v", m.file)
		}
	})
}

func TestASubnetManagerThatCannotBeReadIsAnErrorAtTheStart(t *testing.T) {
	broken := &manager{store: errors.New("not ours")}
	if _, err := New(Config{SubnetManager: broken}); !errors.Is(err, broken.store) {
		t.Error(err)
	}
	if _, err := New(Config{SubnetManager: &manager{}, StateFile: t.TempDir() + "/state.json"}); err == nil {
		t.Error("two places to keep partitions were taken")
	}
	s := newSim(t, Config{SubnetManager: &manager{}})
	if s.Preload(pkey.Partition{PKey: 5}) == nil {
		t.Error("preloaded past the subnet manager")
	}
}

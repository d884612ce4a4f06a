package ufmsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// SubnetManager is what a Sim gives its partitions to when there is a real fabric, as
// UFM gives them to its OpenSM. Package opensm has one.
type SubnetManager interface {
	// Load returns what was stored last, the management partition left out.
	Load() ([]Partition, error)
	// Store keeps all partitions where the subnet manager reads them, whole or not at
	// all. ErrUnfit is in its error when no subnet manager could take them.
	Store([]Partition) error
	// Apply has the subnet manager take what is stored, and returns when the fabric has
	// it. A Store may come meanwhile; another Apply follows it.
	Apply(context.Context) error
}

// ErrUnfit is in the error of a SubnetManager that cannot express a partition: the call
// is refused with 400, and asking again does not help.
var ErrUnfit = errors.New("the subnet manager's configuration cannot hold this")

// applyAgain is how long a subnet manager that failed is left alone, unless there is
// news for it.
const applyAgain = 5 * time.Second

// takeOver reads what the subnet manager has and begins to drive it. What it has is
// applied once more: nobody knows whether it was, before.
func (s *Sim) takeOver() error {
	if s.cfg.StateFile != "" {
		return errors.New("a state file and a subnet manager: it is the subnet manager that keeps the partitions; leave out the state file")
	}
	parts, err := s.cfg.SubnetManager.Load()
	if err != nil {
		return fmt.Errorf("reading the subnet manager's partitions: %w", err)
	}
	for _, p := range parts {
		kept := &partition{name: p.Name, ipoib: p.IPoIB, qos: p.QoS}
		kept.replace(p.Members)
		s.model.partitions[p.PKey] = kept
	}
	s.fabric = s.model.clone()
	s.announce()
	s.start(s.drive)
	return nil
}

// announce wakes whoever drives the subnet manager.
func (s *Sim) announce() {
	select {
	case s.stored <- struct{}{}:
	default:
	}
}

// commitToManager makes a change that is stored before it is shown: one that could not be
// stored is not there, and one that was answered outlives this process.
func (s *Sim) commitToManager(c change, q request) answer {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.RLock()
	refused, before := s.refuse(c), s.model
	var a answer
	var e Entry
	if refused == nil {
		c, a, e = s.resolve(c, q)
	}
	s.mu.RUnlock()
	if refused != nil {
		s.journal.record(entryOf(c.op, c.pkey, c.members, q, *refused))
		return *refused
	}
	next := before.with(c)
	if err := s.cfg.SubnetManager.Store(next.snapshot()); err != nil {
		a = text(http.StatusInternalServerError, "not stored for the subnet manager: "+err.Error())
		if errors.Is(err, ErrUnfit) {
			a.status = http.StatusBadRequest
		}
		s.journal.record(entryOf(c.op, c.pkey, c.members, q, a))
		return a
	}
	s.mu.Lock()
	s.model = next
	s.pending = append(s.pending, pendingApply{e.Changed, s.journal.record(e), c})
	s.mu.Unlock()
	s.announce()
	return a
}

// drive has the subnet manager take what was stored, again and again. What comes while
// it is at it waits and goes together: a change costs a sweep of the whole fabric.
func (s *Sim) drive() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.background.Go(func() {
		<-s.closed
		cancel()
	})
	var said string
	for {
		var again <-chan time.Time
		if said != "" {
			again = s.clock.After(applyAgain)
		}
		select {
		case <-s.closed:
			return
		case <-s.stored:
		case <-again:
		}
		said = s.applyStored(ctx, said)
	}
}

// applyStored returns what is wrong, "" for nothing, and journals it unless it was said.
func (s *Sim) applyStored(ctx context.Context, said string) string {
	s.mu.RLock()
	target, changes := s.model, len(s.pending)
	s.mu.RUnlock()
	begun := s.clock.Now()
	err := s.cfg.SubnetManager.Apply(ctx)
	now := s.clock.Now()
	switch {
	case ctx.Err() != nil:
		return said
	case err != nil:
		if err.Error() != said {
			s.journal.record(Entry{Received: begun, Op: OpApply, Outcome: "not applied: " + err.Error()})
		}
		return err.Error()
	}
	s.mu.Lock()
	applied := s.pending[:changes]
	s.pending = s.pending[changes:]
	s.fabric, s.lastUpdated = target, now
	s.mu.Unlock()
	for _, p := range applied {
		s.journal.edit(p.seq, func(e *Entry) { e.Applied = now })
	}
	outcome := fmt.Sprintf("done: %d changes in %s", changes, now.Sub(begun).Round(time.Millisecond))
	s.journal.record(Entry{Received: begun, Changed: now, Applied: now, Op: OpApply, Outcome: outcome})
	return ""
}

package ufmsim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// Partition is one as UFM knows it, members in order of GUID.
type Partition struct {
	pkey.Partition
	QoS pkey.QoS
}

// Members are those of one partition that REST shows, in order of GUID.
func (s *Sim) Members(p pkey.PKey) []pkey.Member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if found := s.model.partitions[p]; found != nil {
		return found.sorted()
	}
	return nil
}

// Partitions are those that REST shows, management among them, in order of PKey.
func (s *Sim) Partitions() []Partition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.snapshot()
}

// Applied are the partitions that the fabric has: Partitions as they were Timing.Apply
// ago, or as the SubnetManager took them last.
func (s *Sim) Applied() []Partition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fabric.snapshot()
}

func (s *state) snapshot() []Partition {
	var all []Partition
	for _, k := range s.keys() {
		p := s.partitions[k]
		all = append(all, Partition{pkey.Partition{PKey: k, Name: p.name, IPoIB: p.ipoib, Members: p.sorted()}, p.qos})
	}
	return all
}

func (p *partition) sorted() []pkey.Member {
	return slices.SortedFunc(slices.Values(p.members), func(a, b pkey.Member) int { return cmp.Compare(a.GUID, b.GUID) })
}

// Calls counts the calls by what they were, since the start or ResetCalls. Every call
// counts that was let in, also one that failed.
func (s *Sim) Calls() map[Op]int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.calls)
}

// ResetCalls starts counting anew.
func (s *Sim) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.calls)
}

// Preload puts partitions in as if they had always been there: no call, no journal, no
// last_updated. A partition that is there is replaced; an empty Name is UFM's default.
func (s *Sim) Preload(parts ...pkey.Partition) error {
	if s.cfg.SubnetManager != nil {
		return errors.New("preload: the partitions are the subnet manager's; change them by calls")
	}
	for _, p := range parts {
		if !p.PKey.IsValid() {
			return fmt.Errorf("preload: pkey %s cannot be given to a tenant", p.PKey)
		}
		for _, m := range p.Members {
			if !m.GUID.IsValid() {
				return fmt.Errorf("preload: pkey %s: guid %s is not valid", p.PKey, m.GUID)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		c := change{op: OpPut, pkey: p.PKey, name: p.Name, ipoib: p.IPoIB, members: p.Members, keepEmpty: true}
		s.model.apply(c)
		s.fabric.apply(c)
	}
	return nil
}

// Wipe takes all partitions away but management, as a factory reset does.
func (s *Sim) Wipe() error {
	a := s.commit(change{op: OpWipe}, request{user: "ufm-sim", received: s.clock.Now()})
	if a.status >= http.StatusBadRequest {
		return fmt.Errorf("wipe: %s", firstLine(a.body))
	}
	return nil
}

// Settled reports whether the fabric has every change that REST shows.
func (s *Sim) Settled() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.pending) == 0
}

// LastUpdated is when the fabric last took a change; zero: never.
func (s *Sim) LastUpdated() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lastUpdated
}

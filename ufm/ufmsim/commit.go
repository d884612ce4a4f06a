package ufmsim

import (
	"bytes"
	"net/http"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// pendingApply is a change that REST shows and the fabric does not have yet.
type pendingApply struct {
	due    time.Time
	seq    uint64
	change change
}

// commit makes a change: in the model, the journal, the file, and in its time the fabric.
func (s *Sim) commit(c change, q request) answer {
	if s.cfg.SubnetManager != nil {
		return s.commitToManager(c, q)
	}
	a, seq, done := s.commitToModel(c, q)
	if !done || s.cfg.StateFile == "" {
		return a
	}
	if err := s.save(); err != nil {
		s.journal.edit(seq, func(e *Entry) { e.Outcome += ", not saved: " + err.Error() })
		return text(http.StatusInternalServerError, "the state file could not be written: "+err.Error())
	}
	return a
}

func (s *Sim) commitToModel(c change, q request) (a answer, seq uint64, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.refuse(c); refused != nil {
		s.journal.record(entryOf(c.op, c.pkey, c.members, q, *refused))
		return *refused, 0, false
	}
	c, a, e := s.resolve(c, q)
	s.model.apply(c)
	// A change never overtakes one that waits, also when the delay was set to 0 since.
	if s.timing.Apply <= 0 && len(s.pending) == 0 {
		e.Applied = e.Changed
		s.fabric.apply(c)
		s.lastUpdated = e.Changed
		return a, s.journal.record(e), true
	}
	seq = s.journal.record(e)
	s.pending = append(s.pending, pendingApply{e.Changed.Add(s.timing.Apply), seq, c})
	delay := s.timing.Apply
	s.start(func() {
		if s.sleep(s.closed, delay) {
			s.applyDue()
		}
	})
	return a, seq, true
}

// resolve settles what a change that is not refused does, what it is answered with, and
// how the journal tells of it. The caller holds mu.
func (s *Sim) resolve(c change, q request) (change, answer, Entry) {
	a := s.done()
	if c.op == OpCreate && s.quirks.CreateWipes {
		c, a = change{op: OpWipe}, answer{cut: true}
		q.note = " by create"
	}
	c.keepEmpty = s.quirks.KeepEmpty
	c.members = s.affected(c)
	e := entryOf(c.op, c.pkey, c.members, q, answer{status: a.status})
	e.Changed = s.clock.Now()
	return c, a, e
}

// applyDue lets the fabric catch up, in the order of the changes whoever wakes first.
func (s *Sim) applyDue() {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 && !s.pending[0].due.After(now) {
		p := s.pending[0]
		s.pending = s.pending[1:]
		s.fabric.apply(p.change)
		s.lastUpdated = now
		s.journal.edit(p.seq, func(e *Entry) { e.Applied = now })
	}
}

// refuse says why a change cannot be made, from what is there.
func (s *Sim) refuse(c change) *answer {
	p := s.model.partitions[c.pkey]
	var a answer
	switch {
	case c.op == OpCreate && p != nil && s.quirks.DuplicateCreate == "409":
		a = text(http.StatusConflict, "Partition "+c.pkey.String()+" already exists")
	case c.op == OpCreate && p != nil && s.quirks.DuplicateCreate != "accept":
		a = text(http.StatusBadRequest, "Partition "+c.pkey.String()+" already exists")
	case p == nil && s.mustExist(c.op):
		a = text(http.StatusNotFound, "Partition "+c.pkey.String()+" does not exist")
	case c.op == OpAdd || c.op == OpPut:
		return s.refuseGUIDs(c.members)
	default:
		return nil
	}
	return &a
}

// mustExist says which changes fail on a partition that is not there.
func (s *Sim) mustExist(op Op) bool {
	switch op {
	case OpAdd:
		return s.quirks.PostMissing404
	case OpPut:
		return s.quirks.PutMissing404
	case OpRemove:
		return s.quirks.RemoveMissing404
	}
	return op == OpDelete || op == OpQoS
}

// refuseGUIDs refuses the whole call for one GUID, when a quirk says that UFM knows the
// ports there are. By default it takes any: VFs get theirs after their partition.
func (s *Sim) refuseGUIDs(members []pkey.Member) *answer {
	status := map[string]int{"404": http.StatusNotFound, "500": http.StatusInternalServerError}[s.quirks.UnknownGUID]
	if status == 0 {
		return nil
	}
	for _, m := range members {
		if !s.ports[m.GUID] {
			a := text(status, "GUID "+m.GUID.Hex()+" not found in topology")
			return &a
		}
	}
	return nil
}

// affected are the members that a change is about, as the journal shows them: what goes
// out goes with the mode it had.
func (s *Sim) affected(c change) []pkey.Member {
	p := s.model.partitions[c.pkey]
	switch {
	case p == nil && c.op == OpRemove:
		return nil
	case p == nil:
		return c.members
	case c.op == OpDelete:
		return append([]pkey.Member(nil), p.members...)
	case c.op != OpRemove:
		return c.members
	}
	out := make([]pkey.Member, 0, len(c.members))
	seen := make(map[guid.GUID]bool, len(c.members))
	for _, m := range c.members {
		if i, ok := p.index[m.GUID]; ok && !seen[m.GUID] {
			seen[m.GUID] = true
			out = append(out, p.members[i])
		}
	}
	return out
}

// done is the answer to a change that was made.
func (s *Sim) done() answer {
	if s.quirks.Success201 {
		return answer{status: http.StatusCreated, body: []byte("{}")}
	}
	return answer{status: http.StatusOK, body: []byte("{}")}
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line)
}

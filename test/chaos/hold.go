package chaos

import (
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// Rule 4: before a GUID goes to somebody else there is the hold time, since its pod's
// end, since it was taken out, and since the UFM that answers had it for the last time.

// claims reports whether a tenure's pod has its GUID in a partition.
func (t *tenure) claims(p pkey.PKey) bool {
	return slices.ContainsFunc(t.element.Recorded, func(c attach.Claim) bool { return c.PKey == p })
}

// given is by when at the latest the controller had given an owner its GUID: when the
// last call came that put it into one of its partitions. An earlier one may have been
// for somebody else.
func (j *judge) given(t *tenure) time.Time {
	given := t.from
	for _, c := range t.element.Recorded {
		var last time.Time
		for _, m := range j.puts[t.element.GUID] {
			if m.pkey == c.PKey && !m.entry.Received.Before(t.life.created) && m.entry.Changed.Before(t.from) {
				last = m.entry.Received
			}
		}
		if !last.IsZero() && last.Before(given) {
			given = last
		}
	}
	return given
}

// heldBetween: from the earliest end of one owner to the next there is the hold time.
func (j *judge) heldBetween(former []*tenure, t *tenure) {
	for _, f := range former {
		if f.life == t.life || f.life.mayEnd.IsZero() {
			continue // the first is rule 5's, and of the second rule 1 told
		}
		given := j.given(t)
		if given.Before(f.life.mayEnd) { // that was for the former owner
			given = t.from
		}
		if wait := given.Sub(f.life.mayEnd); wait < holdTime {
			j.breaks(given, t, "rule 4: %s of %s was given to %s at %s, %s after its pod's end",
				t.element.GUID, f, t, clock(given), wait)
		}
	}
}

// heldForNodes: before a GUID goes to somebody else, the nodes of those who had it have
// shown that they no longer run them (rule 5).
func (j *judge) heldForNodes(former []*tenure, t *tenure) {
	for _, f := range former {
		if f.life == t.life || f.life.mayEnd.IsZero() || f.life.node == "" {
			continue
		}
		if given := j.given(t); given.After(f.life.mayEnd) && !j.nodes.spoke(f.life.node, f.life.mayEnd, given) {
			j.breaks(given, t, "rule 5: %s of %s was given to %s at %s; that pod's node %s had not been Ready for the hold time since %s, nor booted",
				t.element.GUID, f, t, clock(given), f.life.node, clock(f.life.mayEnd))
		}
	}
}

// heldAfterRemoval: from the last removal before an owner's time to the first call that
// put its GUID in again, anywhere, there is the hold time. What is put in for the former
// pod, by a leader that does not know yet that the pod is gone, is no reuse: it is taken
// out again, or was there before the next pod.
func (j *judge) heldAfterRemoval(t *tenure) {
	out, ever := move{}, false
	for _, m := range j.takes[t.element.GUID] {
		if m.entry.Changed.Before(t.from) {
			out, ever = m, true
		}
	}
	if !ever {
		return
	}
	since := j.outSince(out)
	given, by := t.from, "in no partition"
	for _, m := range j.puts[t.element.GUID] {
		if r := m.entry.Received; r.After(since) && r.Before(given) && !r.Before(t.life.created) {
			given, by = r, m.String()
		}
	}
	if wait := given.Sub(since); wait < holdTime {
		j.breaks(given, t, "rule 4: %s, taken out of %s at %s, was given to %s (%s) %s later",
			t.element.GUID, out, clock(since), t, by, wait)
	}
}

// heldAfterSeen: the UFM that answers has not had the GUID for the hold time, but for what
// was put in for this owner. A stay is somebody else's when it is in another partition or
// began before the owner's pod was made.
func (j *judge) heldAfterSeen(t *tenure) {
	given := j.given(t)
	for _, s := range j.spells {
		for _, at := range j.past[s.of].places[t.element.GUID] {
			for _, st := range j.past[s.of].stays[at] {
				from, to, seen := s.overlap(st)
				alien := !t.claims(at.pkey) || st.put.Before(t.life.created)
				over := !to.IsZero() && !to.After(given.Add(-holdTime))
				if seen && alien && from.Before(given) && !over && !j.excused(t, s, at, st, to.IsZero() || to.After(given)) {
					j.breaks(given, t, "rule 4: %s was given to %s at %s; %s had it in %s from %s to %s, for somebody else",
						t.element.GUID, t, clock(given), s.of.name, at.pkey, clock(from), clock(to))
				}
			}
		}
	}
}

// excused reports whether an owner may have a GUID although a UFM had it for somebody else
// less than the hold time before, or has it still (stands).
func (j *judge) excused(t *tenure, s spell, at place, st stay, stands bool) bool {
	from, to, _ := s.overlap(st)
	brought := s != j.spells[0] && st.from.Before(s.from) // by a failover
	unclaimed := st.put.IsZero() || brought && j.rowGone(t, s)
	brief := !stands && to.Sub(from) < unread // nobody need have read it, what with the faults
	out, taken := j.takenBy(at, st)
	switch {
	case unclaimed && !stands:
		return true // no row tells the next leader of it
	case brief && (brought && !taken || taken && unknown(out, st) || j.overtaken(t, st)):
		return true
	}
	// The pod may have been given it before the controller saw what this UFM has.
	return brought && unclaimed && t.life.created.Before(s.from.Add(unread))
}

// takenBy is the removal that ended a stay; false is that there was none.
func (j *judge) takenBy(at place, st stay) (out move, taken bool) {
	i := slices.IndexFunc(j.takes[at.guid], func(m move) bool { return m.place == at && m.entry.Changed.Equal(st.to) })
	if i < 0 {
		return move{}, false
	}
	return j.takes[at.guid][i], true
}

// unknown reports whether a removal came before the stay began that it ended: both it and what
// put the GUID in were done late, and whoever sent them need not have read of it.
func unknown(out move, st stay) bool { return out.entry.Received.Before(st.from) }

// outSince is when a removal was done, for all that a controller could know.
func (j *judge) outSince(out move) time.Time {
	for _, p := range j.past {
		for _, st := range p.stays[out.place] {
			if p.of.name == out.ufm && st.to.Equal(out.entry.Changed) && st.to.Sub(st.from) < unread && unknown(out, st) {
				return out.entry.Received
			}
		}
	}
	return out.entry.Changed
}

// overtaken reports whether a call came before the GUID was taken out, and was done after.
func (j *judge) overtaken(t *tenure, st stay) bool {
	return slices.ContainsFunc(j.takes[t.element.GUID], func(m move) bool {
		return m.entry.Changed.After(st.asked) && m.entry.Changed.Before(st.from)
	})
}

// overlap is when a UFM that had a GUID also answered; to is zero while both last.
func (s spell) overlap(st stay) (from, to time.Time, any bool) {
	from, to = later(s.from, st.from), st.to
	if to.IsZero() || !s.to.IsZero() && s.to.Before(to) {
		to = s.to
	}
	return from, to, to.IsZero() || from.Before(to)
}

const (
	// round is how long the controller may take from reading UFM to freeing what it saw
	// to be out of it.
	round = 3 * second
	// unread is how long it may work, in all this trouble, without having read UFM.
	unread = 10 * second
)

// rowGone reports whether the hold of an owner's GUID was over when a UFM came forward:
// what it has of it is then explained by no row any more.
func (j *judge) rowGone(t *tenure, s spell) bool {
	var last time.Time
	for _, f := range j.history.owners[t.element.GUID] {
		if f != t && f.from.Before(s.from) {
			if f.life.mayEnd.IsZero() {
				return false
			}
			last = later(last, f.life.mayEnd)
		}
	}
	for _, m := range j.takes[t.element.GUID] {
		if m.entry.Changed.Before(s.from) {
			last = later(last, m.entry.Changed)
		}
	}
	return !last.After(s.from.Add(round - holdTime))
}

// excusable reports whether a member that no live pod explains is one that only a
// failover brought back: its pods had ended, and its GUID's hold was over, when the UFM
// that has it began to answer. Its row was gone by then, and rule 2 leaves it alone.
func (j *judge) excusable(at place) bool {
	now := j.spells[len(j.spells)-1]
	stays := j.past[now.of].stays[at]
	if len(stays) == 0 || stays[len(stays)-1].from.After(now.from) {
		// It came while this one answered; only an Add that was late can excuse it, and
		// the hold time is longer than any of those.
		return false
	}
	j.history.mu.Lock()
	defer j.history.mu.Unlock()
	var last time.Time
	for _, t := range j.history.owners[at.guid] {
		if t.claims(at.pkey) && t.life.mayEnd.IsZero() {
			return false
		}
		if t.claims(at.pkey) {
			last = later(last, t.life.mayEnd)
		}
	}
	for _, m := range j.takes[at.guid] {
		if m.place == at && m.entry.Changed.Before(now.from) {
			last = later(last, m.entry.Changed)
		}
	}
	return !last.IsZero() && !last.After(now.from.Add(round-holdTime)) || last.IsZero() && len(j.wipes) > 0
}

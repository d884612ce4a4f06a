package controller

import (
	"cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// ask is a mode that UFM was asked for, and how often.
type ask struct {
	mode  pkey.Mode
	times int
}

// await makes the GUIDs of a batch that is about to be sent count only when LastUpdated
// no longer says before. Those that are in already, but for their index, move nothing.
func (v *view) await(p pkey.PKey, b pkey.Batch, before string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	for _, g := range b.GUIDs {
		if mode, in := s.members[g]; !in || mode.Membership != b.Membership {
			s.unapplied[g] = before
		}
	}
}

// awaited is what LastUpdated must no longer say for a partition's members to count.
// Those that UFM does not show were never taken, and are not waited for.
func (v *view) awaited(p pkey.PKey) (before string, waits bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	for g, text := range s.unapplied {
		if _, in := s.members[g]; !in {
			delete(s.unapplied, g)
			continue
		}
		before, waits = text, true
	}
	return before, waits
}

// updated takes what LastUpdated says and returns it, or what it said before when it says
// nothing: UFM does so until its first change, but also for a moment later on, and then
// neither the silence nor the old text behind it is a change.
func (v *view) updated(text string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lastUpdated = cmp.Or(text, v.lastUpdated)
	return v.lastUpdated
}

// applied takes what LastUpdated says now.
func (v *view) applied(p pkey.PKey, now string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	for g, before := range s.unapplied {
		if before != now {
			delete(s.unapplied, g)
		}
	}
}

// stubbornAfter is how often index 0 is asked for before what UFM shows of it is let be.
const stubbornAfter = 2

// stubborn is the mode that a member counts with. UFM may never show the index that was
// asked for: a version that does not list it, or a port whose index 0 another partition
// has. Asking for ever would cost a sweep of the fabric each time. Membership is
// another matter: it is asked for until it is right.
func (s *seen) stubborn(m pkey.Member) pkey.Mode {
	a := s.asked[m.GUID]
	if a.times >= stubbornAfter && a.mode.Membership == m.Membership {
		return a.mode
	}
	return m.Mode
}

// standing are all GUIDs that UFM is known to show anywhere, and the partitions of which
// that cannot be relied upon now.
func (v *view) standing() (in map[guid.GUID]bool, unsure map[pkey.PKey]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	in, unsure = map[guid.GUID]bool{}, map[pkey.PKey]bool{}
	for p, s := range v.parts {
		if !v.blind && (!s.fresh || !v.counts(s)) {
			unsure[p] = true
		}
		for g := range s.members {
			in[g] = true
		}
	}
	return in, unsure
}

package controller

import (
	"maps"
	"sync"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// view is what UFM is known to show: read from it, and moved on by our own writes that
// it answered. What it says of a partition counts only while it is fresh.
type view struct {
	mu    sync.Mutex // protects what follows
	parts map[pkey.PKey]*seen
	// base is the address that the last full read came from: what it did not list has
	// no members. "" before the first.
	base string
}

// seen is one partition in the view.
type seen struct {
	fresh   bool
	members map[guid.GUID]pkey.Mode
	from    string // who showed it
	// writes counts changes that were sent. A read that began before one ended says
	// nothing of it and is dropped.
	writes int
	// removed says which address answered the Remove of a leaving GUID.
	removed map[guid.GUID]string
}

func newView() *view { return &view{parts: map[pkey.PKey]*seen{}} }

func (v *view) part(p pkey.PKey) *seen {
	s := v.parts[p]
	if s == nil {
		s = &seen{members: map[guid.GUID]pkey.Mode{}, removed: map[guid.GUID]string{}, fresh: v.base != "", from: v.base}
		v.parts[p] = s
	}
	return s
}

// members are the members of a partition; fresh says that they can be relied upon.
func (v *view) members(p pkey.PKey) (list []pkey.Member, fresh bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	for g, mode := range s.members {
		list = append(list, pkey.Member{GUID: g, Mode: mode})
	}
	return list, s.fresh
}

// holds reports whether UFM is known to have a GUID in a partition in this mode.
func (v *view) holds(p pkey.PKey, m pkey.Member) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	mode, ok := v.part(p).members[m.GUID]
	return ok && mode == m.Mode
}

// shows reports whether UFM is known to have a GUID in a partition, in whatever mode.
func (v *view) shows(p pkey.PKey, g guid.GUID) bool {
	_, ok := v.mode(p, g)
	return ok
}

// mode is how UFM is known to have a GUID in a partition.
func (v *view) mode(p pkey.PKey, g guid.GUID) (pkey.Mode, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	mode, ok := v.part(p).members[g]
	return mode, ok
}

// marks are the counts of writes before a read begins.
func (v *view) marks() map[pkey.PKey]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	marks := map[pkey.PKey]int{}
	for p, s := range v.parts {
		marks[p] = s.writes
	}
	return marks
}

// show takes what UFM said of one partition, unless it was changed since mark.
func (v *view) show(part pkey.Partition, mark int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(part.PKey)
	if s.writes != mark {
		return false
	}
	s.fresh, s.from = true, part.From
	s.members = make(map[guid.GUID]pkey.Mode, len(part.Members))
	for _, m := range part.Members {
		s.members[m.GUID] = m.Mode
	}
	return true
}

// mark is the count of writes of one partition.
func (v *view) mark(p pkey.PKey) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.part(p).writes
}

// writing notes that a change of a partition is being sent: until it is answered,
// nobody knows what the partition looks like.
func (v *view) writing(p pkey.PKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.writes++
	s.fresh = false
}

// added notes an answered Add. What the partition showed before counts again, if the
// same address showed it: behind another one may stand a standby with older data.
func (v *view) added(p pkey.PKey, b pkey.Batch, from string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.writes++
	s.fresh = s.from == from
	for _, g := range b.GUIDs {
		s.members[g] = b.Mode
		delete(s.removed, g)
	}
}

// removed notes an answered Remove; that it did what it said is for a read to show.
func (v *view) removed(p pkey.PKey, guids []guid.GUID, from string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.writes++
	for _, g := range guids {
		s.removed[g] = from
		delete(s.members, g)
	}
}

// proven are those of the GUIDs that are out of a partition for certain: a Remove of
// each was answered, and the address that answered shows the partition without it.
func (v *view) proven(p pkey.PKey, guids []guid.GUID) []guid.GUID {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	if !s.fresh {
		return nil
	}
	var out []guid.GUID
	for _, g := range guids {
		from, answered := s.removed[g]
		if _, in := s.members[g]; answered && !in && from == s.from {
			out = append(out, g)
		}
	}
	return out
}

// trust is for a Fabric that shows nothing: what it answered is so.
func (v *view) trust(p pkey.PKey, guids []guid.GUID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.fresh = true
	for _, g := range guids {
		if from, ok := s.removed[g]; ok {
			s.from = from
		}
	}
}

// forget drops what was noted of GUIDs that are out.
func (v *view) forget(p pkey.PKey, guids []guid.GUID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, g := range guids {
		delete(v.part(p).removed, g)
	}
}

// showAll takes a full read, and returns the partitions that it could say something of.
func (v *view) showAll(parts []pkey.Partition, marks map[pkey.PKey]int, from string) {
	listed := map[pkey.PKey]bool{}
	for _, part := range parts {
		listed[part.PKey] = true
		v.show(part, marks[part.PKey])
	}
	for _, p := range v.pkeys() {
		if !listed[p] {
			v.show(pkey.Partition{PKey: p, From: from}, marks[p])
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.base = from
}

// baseFrom is the address of the last full read.
func (v *view) baseFrom() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.base
}

// doubt makes a partition be read before anything else is done to it.
func (v *view) doubt(p pkey.PKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.part(p).fresh = false
}

// pkeys are the partitions in the view.
func (v *view) pkeys() []pkey.PKey {
	v.mu.Lock()
	defer v.mu.Unlock()
	keys := make([]pkey.PKey, 0, len(v.parts))
	for p := range maps.Keys(v.parts) {
		keys = append(keys, p)
	}
	return keys
}

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
	// current is the address that answered last. What another one showed may be older
	// than what this one has: behind an address stands a standby at times.
	current     string
	lastUpdated string // what LastUpdated said last; "" while it never said anything
	// blind: the Fabric shows nothing, and its answered writes are all there is.
	blind bool
}

// seen is one partition in the view.
type seen struct {
	fresh   bool
	unread  bool // the last full read could not tell its members, which are unknown since
	members map[guid.GUID]pkey.Mode
	from    string // who showed it
	// writes counts changes that were sent. A read that began before one ended says
	// nothing of it and is dropped.
	writes int
	// busy: a change is under way, which counts only when it is answered, and applied if
	// that is asked for. What a read shows meanwhile is not taken.
	busy bool
	// removed says which address answered the Remove of a leaving GUID.
	removed map[guid.GUID]string
	// unapplied are members that UFM took and that count only when its LastUpdated says
	// something else than this.
	unapplied map[guid.GUID]string
	// asked is how often a GUID was put in that was in already, in another mode.
	asked map[guid.GUID]ask
}

func newView(blind bool) *view { return &view{parts: map[pkey.PKey]*seen{}, blind: blind} }

func (v *view) part(p pkey.PKey) *seen {
	s := v.parts[p]
	if s == nil {
		s = &seen{members: map[guid.GUID]pkey.Mode{}, removed: map[guid.GUID]string{}, asked: map[guid.GUID]ask{}, unapplied: map[guid.GUID]string{}, fresh: v.base != "", from: v.base}
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
	return list, v.counts(s) && s.fresh
}

// counts reports whether what is known of a partition came from who answers now.
func (v *view) counts(s *seen) bool { return v.blind || s.from == v.current }

// holds reports whether UFM is known to have a GUID in a partition in this mode.
func (v *view) holds(p pkey.PKey, m pkey.Member) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	mode, ok := s.members[m.GUID]
	_, waits := s.unapplied[m.GUID]
	return ok && mode == m.Mode && !waits && v.counts(s)
}

// shows reports whether UFM is known to have a GUID in a partition, in whatever mode.
func (v *view) shows(p pkey.PKey, g guid.GUID) bool {
	_, ok := v.mode(p, g)
	return ok
}

// showsAny reports whether UFM is known to have any of the GUIDs in a partition.
func (v *view) showsAny(p pkey.PKey, guids []guid.GUID) bool {
	for _, g := range guids {
		if v.shows(p, g) {
			return true
		}
	}
	return false
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
	if s.writes != mark || s.busy {
		return false
	}
	s.fresh, s.unread = true, false
	s.from, v.current = part.From, part.From
	s.members = make(map[guid.GUID]pkey.Mode, len(part.Members))
	for _, m := range part.Members {
		s.members[m.GUID] = s.stubborn(m)
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
	s.fresh, s.busy = false, true
}

// gaveUp notes that a change was not answered as it should be: a read must tell.
func (v *view) gaveUp(p pkey.PKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.writes++
	s.busy = false
}

// added notes an answered Add. What the partition showed before counts again, if the
// same address showed it: behind another one may stand a standby with older data.
func (v *view) added(p pkey.PKey, b pkey.Batch, from string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.writes++
	v.current, s.busy = from, false
	s.fresh = (s.from == from || v.blind) && !s.unread
	for _, g := range b.GUIDs {
		if shown, in := s.members[g]; in && shown != b.Mode {
			s.asked[g] = ask{b.Mode, s.asked[g].times + 1}
		}
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
	v.current, s.busy = from, false
	for _, g := range guids {
		s.removed[g] = from
		delete(s.members, g)
		delete(s.asked, g)
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

// lose notes that a full read could not tell the members of a partition. What it showed
// before stays, as a reason to leave those GUIDs alone, and decides nothing else.
func (v *view) lose(p pkey.PKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.part(p)
	s.fresh, s.unread = false, true
}

// isUnread reports whether the last full read could not tell the members of a partition.
func (v *view) isUnread(p pkey.PKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.part(p).unread
}

// showAll takes a full read. What it does not list has no members; what it lists and
// could not read is unknown.
func (v *view) showAll(parts []pkey.Partition, marks map[pkey.PKey]int, from string) {
	listed := map[pkey.PKey]bool{}
	for _, part := range parts {
		listed[part.PKey] = true
		if part.Err != nil {
			v.lose(part.PKey)
			continue
		}
		v.show(part, marks[part.PKey])
	}
	for _, p := range v.pkeys() {
		if !listed[p] {
			v.show(pkey.Partition{PKey: p, From: from}, marks[p])
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.base, v.current = from, from
}

// baseFrom is the address of the last full read.
func (v *view) baseFrom() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.base
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

package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// judge compares what the watch told with what UFM's journals tell.
type judge struct {
	history *history
	said    *networks
	spells  []spell
	wipes   []time.Time
	past    map[*ufm]*presence
	puts    map[guid.GUID][]move // into all UFMs, in order of time
	takes   map[guid.GUID][]move
	broken  []string
}

func newJudge(h *history, said *networks, u *ufms) *judge {
	u.mu.Lock()
	defer u.mu.Unlock()
	j := &judge{history: h, said: said, spells: slices.Clone(u.spells), wipes: u.wipes, past: map[*ufm]*presence{}, puts: map[guid.GUID][]move{}, takes: map[guid.GUID][]move{}}
	for _, n := range u.all {
		p := replay(n)
		j.past[n] = p
		index(j.puts, p.puts)
		index(j.takes, p.takes)
	}
	return j
}

func index(by map[guid.GUID][]move, moves []move) {
	for _, m := range moves {
		by[m.guid] = append(by[m.guid], m)
	}
	for _, list := range by {
		slices.SortStableFunc(list, func(a, b move) int { return a.entry.Changed.Compare(b.entry.Changed) })
	}
}

func count(by map[guid.GUID][]move) int {
	n := 0
	for _, list := range by {
		n += len(list)
	}
	return n
}

// rules are the violations, those that the watch showed by itself first.
func (j *judge) rules() []string {
	j.history.mu.Lock()
	defer j.history.mu.Unlock()
	j.broken = slices.Clone(j.history.broken)
	for _, owners := range j.history.owners {
		for i, t := range owners {
			j.heldBetween(owners[:i], t)
			j.heldAfterRemoval(t)
			j.inBeforeReleased(t)
			j.asItsNetworkSaid(t)
		}
	}
	j.removals()
	return j.broken
}

func (j *judge) breaks(format string, args ...any) {
	j.broken = append(j.broken, fmt.Sprintf(format, args...))
}

// heldBetween: from the earliest end of one owner to the next there is the hold time.
func (j *judge) heldBetween(former []*tenure, t *tenure) {
	for _, f := range former {
		if f.life == t.life || f.life.mayEnd.IsZero() {
			continue // the first is rule 5's, and of the second rule 1 told
		}
		if wait := t.from.Sub(f.life.mayEnd); wait < holdTime {
			j.breaks("rule 4: %s of %s was given to %s at %s, %s after its pod's end",
				t.element.GUID, f, t, clock(t.from), wait)
		}
	}
}

// heldAfterRemoval: from the last removal before an owner's time to the first call that
// put its GUID in again, anywhere, there is the hold time. What is put in and out
// for the same pod, by a leader that does not know yet that the pod is gone, is no reuse.
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
	given, by := t.from, "in no partition"
	for _, m := range j.puts[t.element.GUID] {
		if r := m.entry.Received; r.After(out.entry.Changed) && r.Before(given) {
			given, by = r, m.String()
		}
	}
	if wait := given.Sub(out.entry.Changed); wait < holdTime {
		j.breaks("rule 4: %s, taken out of %s at %s, was given to %s (%s) %s later",
			t.element.GUID, out, clock(out.entry.Changed), t, by, wait)
	}
}

// inBeforeReleased: at some moment before the pod was configured, the UFM that answered
// then had its GUID in each of its partitions; all at one moment, unless a wipe or a
// failover came between.
func (j *judge) inBeforeReleased(t *tenure) {
	for _, c := range t.element.Recorded {
		if !j.hadWhileActive(place{t.element.GUID, c.PKey}, c.Mode, t.life.created, t.from) {
			j.breaks("rule 3: %s was configured at %s with %s in %s (%s), which no UFM that answered since %s had",
				t, clock(t.from), t.element.GUID, c.PKey, c.Mode, clock(t.life.created))
			return
		}
	}
	if at, calm := j.calm(t.life.created, t.from); calm && !j.hadAllAtOnce(j.past[at], t) {
		j.breaks("rule 3: %s was configured at %s, and %s never had all of %v at once", t, clock(t.from), at.name, t.element.Recorded)
	}
}

func (j *judge) hadWhileActive(at place, mode pkey.Mode, from, to time.Time) bool {
	for _, s := range j.spells {
		end := s.to
		if end.IsZero() || end.After(to) {
			end = to
		}
		begin := s.from
		if begin.Before(from) {
			begin = from
		}
		if !begin.After(end) && j.past[s.of].had(at, mode, begin, end) {
			return true
		}
	}
	return false
}

// calm reports whether one UFM answered for a whole time and was not wiped.
func (j *judge) calm(from, to time.Time) (*ufm, bool) {
	for _, w := range j.wipes {
		if !w.Before(from) && !w.After(to) {
			return nil, false
		}
	}
	for _, s := range j.spells {
		if !s.from.After(from) && (s.to.IsZero() || s.to.After(to)) {
			return s.of, true
		}
	}
	return nil, false
}

func (j *judge) hadAllAtOnce(p *presence, t *tenure) bool {
	moment := t.life.created
	for _, c := range t.element.Recorded {
		for _, s := range p.stays[place{t.element.GUID, c.PKey}] {
			if s.mode == c.Mode && s.from.After(moment) && !s.from.After(t.from) {
				moment = s.from
			}
		}
	}
	for _, c := range t.element.Recorded {
		if !slices.ContainsFunc(p.stays[place{t.element.GUID, c.PKey}], func(s stay) bool { return s.mode == c.Mode && s.at(moment) }) {
			return false
		}
	}
	return true
}

func (j *judge) asItsNetworkSaid(t *tenure) {
	if !j.said.allowed(t.element.Network, t.element.Recorded, t.from) {
		j.breaks("contract: %s was given %v at %s, which network %s never said", t, t.element.Recorded, clock(t.from), t.element.Network)
	}
}

// removals: nothing of a live pod is removed, and nothing that we did not put in.
func (j *judge) removals() {
	for g, list := range j.takes {
		for _, m := range list {
			when := m.entry.Changed
			if puts := j.puts[g]; len(puts) == 0 || when.Before(puts[0].entry.Changed) {
				j.breaks("rule 2: %s was taken out of %s at %s, and nobody had put it in", g, m, clock(when))
			}
			for _, t := range j.history.owners[g] {
				if t.from.Before(when) && (t.life.mayEnd.IsZero() || when.Before(t.life.mayEnd)) {
					j.breaks("rule 5: %s was taken out of %s at %s, while it was that of %s since %s", g, m, clock(when), t, clock(t.from))
				}
			}
		}
	}
}

// reuses are how often a GUID went to another pod.
func (j *judge) reuses() int {
	n := 0
	for _, owners := range j.history.owners {
		n += len(owners) - 1
	}
	return n
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
	// Rows go at the earliest when the hold is over; a round of the controller may have
	// read UFM just before the failover.
	const round = 3 * second
	over := now.from.Add(round - holdTime)
	j.history.mu.Lock()
	defer j.history.mu.Unlock()
	var last time.Time
	for _, t := range j.history.owners[at.guid] {
		claims := slices.ContainsFunc(t.element.Recorded, func(c attach.Claim) bool { return c.PKey == at.pkey })
		if claims && t.life.mayEnd.IsZero() {
			return false
		}
		if claims && t.life.mayEnd.After(last) {
			last = t.life.mayEnd
		}
	}
	for _, m := range j.takes[at.guid] {
		if m.place == at && m.entry.Changed.Before(now.from) && m.entry.Changed.After(last) {
			last = m.entry.Changed
		}
	}
	return !last.IsZero() && !last.After(over) || last.IsZero() && len(j.wipes) > 0
}

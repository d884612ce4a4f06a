package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// judge compares what the watch told with what UFM's journals tell.
type judge struct {
	history *history
	said    *networks
	nodes   *nodes
	spells  []spell
	wipes   []time.Time
	past    map[*ufm]*presence
	puts    map[guid.GUID][]move // into all UFMs, in order of time
	takes   map[guid.GUID][]move
	asked   map[guid.GUID][]move // also what was refused: a row says that it is ours to take out
	broken  []violation
}

func newJudge(w *world) *judge {
	u := w.ufms
	u.mu.Lock()
	defer u.mu.Unlock()
	j := &judge{history: w.history, said: w.networks, nodes: w.nodes, spells: slices.Clone(u.spells), wipes: slices.Clone(u.wipes), past: replayAll(u.all)}
	j.index()
	return j
}

// index sorts what was put in and taken out by GUID.
func (j *judge) index() {
	j.puts, j.takes, j.asked = map[guid.GUID][]move{}, map[guid.GUID][]move{}, map[guid.GUID][]move{}
	for _, p := range j.past {
		p.places = map[guid.GUID][]place{}
		for at := range p.stays {
			p.places[at.guid] = append(p.places[at.guid], at)
		}
		for _, m := range p.puts {
			j.puts[m.guid] = append(j.puts[m.guid], m)
		}
		for _, m := range p.asked {
			j.asked[m.guid] = append(j.asked[m.guid], m)
		}
		for _, m := range p.takes {
			j.takes[m.guid] = append(j.takes[m.guid], m)
		}
	}
	for _, by := range []map[guid.GUID][]move{j.puts, j.takes} {
		for _, list := range by {
			slices.SortStableFunc(list, func(a, b move) int { return a.entry.Changed.Compare(b.entry.Changed) })
		}
	}
}

// rules are the violations, in order of time.
func (j *judge) rules() []violation {
	j.history.mu.Lock()
	defer j.history.mu.Unlock()
	j.broken = slices.Clone(j.history.broken)
	for _, owners := range j.history.owners {
		for i, t := range owners {
			j.heldBetween(owners[:i], t)
			j.heldForNodes(owners[:i], t)
			j.heldAfterRemoval(t)
			j.heldAfterSeen(t)
			j.inBeforeReleased(owners[:i], t)
			j.asItsNetworkSaid(t)
		}
	}
	j.removals()
	slices.SortStableFunc(j.broken, func(a, b violation) int { return a.at.Compare(b.at) })
	return j.broken
}

func (j *judge) breaks(at time.Time, t *tenure, format string, args ...any) {
	j.broken = append(j.broken, violation{at, t.element.GUID, t.life.uid, fmt.Sprintf(format, args...)})
}

// inBeforeReleased: before the pod was configured, and after its GUID was last anybody
// else's, the UFM that answered then had it in each of its partitions; all at one
// moment, unless a wipe or a failover came between.
func (j *judge) inBeforeReleased(former []*tenure, t *tenure) {
	since := t.life.created
	for _, f := range former {
		if over := f.life.mayEnd.Add(holdTime); !f.life.mayEnd.IsZero() && over.Before(t.from) {
			since = later(since, over) // before that it cannot be in for this owner
		}
	}
	for _, m := range j.takes[t.element.GUID] {
		if t.claims(m.pkey) && m.entry.Changed.Before(t.from) {
			since = later(since, m.entry.Changed)
		}
	}
	for _, c := range t.element.Recorded {
		if !j.hadWhileActive(place{t.element.GUID, c.PKey}, c.Mode, since, t.from) {
			j.breaks(t.from, t, "rule 3: %s was configured at %s with %s in %s (%s), which no UFM that answered since %s had",
				t, clock(t.from), t.element.GUID, c.PKey, c.Mode, clock(since))
			return
		}
	}
	if at, calm := j.calm(since, t.from); calm && !j.hadAllAtOnce(j.past[at], t, since) {
		j.breaks(t.from, t, "rule 3: %s was configured at %s, and %s never had all of %v at once", t, clock(t.from), at.name, t.element.Recorded)
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

func (j *judge) hadAllAtOnce(p *presence, t *tenure, since time.Time) bool {
	moment := since
	for _, c := range t.element.Recorded {
		for _, s := range p.stays[place{t.element.GUID, c.PKey}] {
			if s.mode == c.Mode && !s.from.After(t.from) {
				moment = later(moment, s.from)
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
		j.breaks(t.from, t, "contract: %s was given %v at %s, which network %s never said", t, t.element.Recorded, clock(t.from), t.element.Network)
	}
}

// removals: nothing of a live pod is removed, and nothing that we did not put in.
func (j *judge) removals() {
	for g, list := range j.takes {
		for _, m := range list {
			when := m.entry.Changed
			if !slices.ContainsFunc(j.asked[g], func(p move) bool { return p.place == m.place && p.entry.Received.Before(when) }) {
				j.broken = append(j.broken, violation{when, g, "", fmt.Sprintf("rule 2: %s was taken out of %s at %s, and nobody had asked for it to be in", g, m, clock(when))})
			}
			for _, t := range j.history.owners[g] {
				if t.claims(m.pkey) && t.from.Before(when) && (t.life.mayEnd.IsZero() || when.Before(t.life.mayEnd)) {
					j.breaks(when, t, "rule 5: %s was taken out of %s at %s, while it was that of %s since %s", g, m, clock(when), t, clock(t.from))
				}
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

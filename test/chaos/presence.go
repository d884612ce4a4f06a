package chaos

import (
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// place is a GUID in a partition.
type place struct {
	guid guid.GUID
	pkey pkey.PKey
}

// stay is a time in which a UFM had a GUID in a partition, in one mode.
type stay struct {
	mode     pkey.Mode
	from, to time.Time // to is zero while it lasts
	// put is when it was put in, which for what a standby knew from its birth was
	// elsewhere and before; zero: it was there before all. asked is when UFM was told to.
	put, asked time.Time
}

func (s stay) at(t time.Time) bool { return !s.from.After(t) && (s.to.IsZero() || t.Before(s.to)) }

// move is a GUID that a call put in or took out.
type move struct {
	place
	ufm   string
	entry ufmsim.Entry
}

func (m move) String() string { return fmt.Sprintf("%s (%s #%d)", m.pkey, m.ufm, m.entry.Seq) }

// presence is one UFM's past, played again from its journal.
type presence struct {
	of          *ufm
	stays       map[place][]stay
	places      map[guid.GUID][]place // of stays; by index
	puts, takes []move
	asked       []move // to put in, whatever became of it
}

// replayAll plays the journals of all UFMs, parents before their copies.
func replayAll(all []*ufm) map[*ufm]*presence {
	past := map[*ufm]*presence{}
	for _, u := range all {
		past[u] = replay(u, past[u.parent])
	}
	return past
}

func replay(u *ufm, parent *presence) *presence {
	p := &presence{of: u, stays: map[place][]stay{}}
	for _, part := range u.first {
		for _, m := range part.Members {
			at := place{m.GUID, part.PKey}
			p.stays[at] = []stay{{mode: m.Mode, put: parent.put(at, u.born)}}
		}
	}
	for _, e := range u.sim.Journal() {
		switch {
		case !e.Changed.IsZero():
			p.play(e)
		case e.Op == ufmsim.OpAdd:
			p.ask(e)
		}
	}
	return p
}

// put is when what a UFM had at a time was put in.
func (p *presence) put(at place, when time.Time) (put time.Time) {
	if p == nil {
		return time.Time{}
	}
	for _, s := range p.stays[at] {
		if !s.from.After(when) {
			put = s.put
		}
	}
	return put
}

func (p *presence) play(e ufmsim.Entry) {
	switch e.Op {
	case ufmsim.OpAdd:
		p.putIn(e)
	case ufmsim.OpPut:
		in := map[guid.GUID]bool{}
		for _, m := range e.Members {
			in[m.GUID] = true
		}
		for at := range p.stays {
			if at.pkey == e.PKey && !in[at.guid] {
				p.takeOut(e, at)
			}
		}
		p.putIn(e)
	case ufmsim.OpRemove, ufmsim.OpDelete:
		for _, m := range e.Members {
			p.takeOut(e, place{m.GUID, e.PKey})
		}
	case ufmsim.OpWipe: // nobody's fault
		for at := range p.stays {
			p.leave(at, e.Changed)
		}
	}
}

func (p *presence) ask(e ufmsim.Entry) {
	for _, m := range e.Members {
		p.asked = append(p.asked, move{place{m.GUID, e.PKey}, p.of.name, e})
	}
}

func (p *presence) putIn(e ufmsim.Entry) {
	p.ask(e)
	for _, m := range e.Members {
		at := place{m.GUID, e.PKey}
		p.puts = append(p.puts, move{at, p.of.name, e})
		p.enter(at, m.Mode, e)
	}
}

func (p *presence) takeOut(e ufmsim.Entry, at place) {
	if p.leave(at, e.Changed) {
		p.takes = append(p.takes, move{at, p.of.name, e})
	}
}

func (p *presence) enter(at place, mode pkey.Mode, e ufmsim.Entry) {
	list := p.stays[at]
	if n := len(list); n > 0 && list[n-1].to.IsZero() && list[n-1].mode == mode {
		return
	}
	p.leave(at, e.Changed)
	p.stays[at] = append(p.stays[at], stay{mode: mode, from: e.Changed, put: e.Changed, asked: e.Received})
}

func (p *presence) leave(at place, when time.Time) bool {
	list := p.stays[at]
	if len(list) == 0 || !list[len(list)-1].to.IsZero() {
		return false
	}
	list[len(list)-1].to = when
	return true
}

// had reports whether this UFM had a GUID in a partition, in this mode, at some moment
// of a time.
func (p *presence) had(at place, mode pkey.Mode, from, to time.Time) bool {
	for _, s := range p.stays[at] {
		if s.mode == mode && !s.from.After(to) && (s.to.IsZero() || s.to.After(from)) {
			return true
		}
	}
	return false
}

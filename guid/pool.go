package guid

import (
	"container/list"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stats counts the GUIDs of a pool. Size = Owned + Held + free.
type Stats struct{ Size, Owned, Held uint64 }

// Pool says who owns which GUID of its ranges. A GUID goes
//
//	fresh --Allocate, Assign--> owned --Release--> held --Free--> freed --Allocate, Assign--> owned …
//
// Allocate walks the fresh ones in order, from where Resume left off and round again,
// and takes freed ones only when no fresh one is left, longest free first: a GUID that
// somebody may still have cached somewhere is the last to come back.
// When a held GUID may be freed is the caller's to know. Every step is O(1) in the
// number of GUIDs taken. A Pool is safe for concurrent use.
type Pool struct {
	ranges []Range // as given; never changed

	mu    sync.Mutex // protects what follows; never held over anything slow
	spans []span
	at    int // the span that the walk is in
	slots map[GUID]*slot
	owned map[ownerKey]GUID
	freed *list.List // of GUID, longest free first
	stats Stats
}

// slot is a GUID that is not fresh.
type slot struct {
	state slotState
	owner Owner         // last owner when held
	freed *list.Element // in Pool.freed when freed
}

type slotState uint8

const (
	owned slotState = iota
	held
	freed
)

// NewPool makes a pool of one or more ranges that do not overlap.
func NewPool(ranges ...Range) (*Pool, error) {
	if len(ranges) == 0 {
		return nil, errors.New("a guid pool needs a range")
	}
	p := &Pool{ranges: slices.Clone(ranges), slots: map[GUID]*slot{}, owned: map[ownerKey]GUID{}, freed: list.New()}
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	for i, r := range sorted {
		if !r.First.IsValid() || !r.Last.IsValid() || r.First > r.Last {
			return nil, fmt.Errorf("guid range %s: not a range of valid GUIDs", r)
		}
		if i > 0 && r.First <= sorted[i-1].Last {
			return nil, fmt.Errorf("guid ranges %s and %s overlap", sorted[i-1], r)
		}
	}
	for _, r := range ranges {
		p.spans = append(p.spans, newSpan(r))
		p.stats.Size += r.Size()
	}
	return p, nil
}

// Allocate gives each owner the next free GUID, or none of them any when there are not enough
// (ErrExhausted): two pods with a part of what they need would keep it from each other for
// ever. An owner that has a GUID keeps it.
func (p *Pool) Allocate(owners ...Owner) ([]GUID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	need := uint64(0)
	for _, o := range owners {
		if _, ok := p.owned[o.key()]; !ok {
			need++
		}
	}
	if free := p.stats.Size - p.stats.Owned - p.stats.Held; free < need {
		return nil, fmt.Errorf("%d GUIDs are needed, %d are free: %w", need, free, ErrExhausted)
	}
	guids := make([]GUID, len(owners))
	for i, o := range owners {
		g, ok := p.owned[o.key()]
		if !ok {
			g = p.next()
			p.give(g, o)
		}
		guids[i] = g
	}
	return guids, nil
}

// next picks the GUID that Allocate hands out, without taking it. There must be a free one.
func (p *Pool) next() GUID {
	for range p.spans {
		if s := &p.spans[p.at]; s.fresh > 0 {
			return s.cursor()
		}
		p.at = (p.at + 1) % len(p.spans)
	}
	return p.freed.Front().Value.(GUID)
}

// Assign gives owner the GUID g, by value. It is idempotent: who has g keeps it.
// It fails with a *TakenError when g is another's or held, or when the owner already
// has another GUID, and with an *OutOfRangeError when g lies in no range.
func (p *Pool) Assign(owner Owner, g GUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.owned[owner.key()]; ok {
		if have == g {
			return nil
		}
		return &TakenError{GUID: have, Holder: owner}
	}
	if !p.Contains(g) {
		return &OutOfRangeError{GUID: g, Ranges: p.ranges}
	}
	if s, ok := p.slots[g]; ok && s.state != freed {
		return &TakenError{GUID: g, Holder: s.owner, Held: s.state == held}
	}
	p.give(g, owner)
	return nil
}

// Hold takes a free GUID out of use without giving it to anybody: what a ledger shows
// as held when a new leader reads it. last is who had it.
func (p *Pool) Hold(g GUID, last Owner) error {
	if err := p.Assign(last, g); err != nil {
		return err
	}
	return p.Release(g, last)
}

// give makes owner the owner of g, which is fresh or freed.
func (p *Pool) give(g GUID, owner Owner) {
	s, ok := p.slots[g]
	if !ok {
		s = &slot{}
		p.slots[g] = s
		p.span(g).take(g)
	} else {
		p.freed.Remove(s.freed)
	}
	*s = slot{state: owned, owner: owner}
	p.owned[owner.key()] = g
	p.stats.Owned++
}

// Release takes g from its owner and holds it. Only its owner can let it go.
func (p *Pool) Release(g GUID, owner Owner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.slots[g]
	if !ok || s.state == freed {
		return fmt.Errorf("release guid %s of %s: nobody has it", g, owner)
	}
	if s.owner.key() != owner.key() {
		return fmt.Errorf("release guid %s of %s: %w", g, owner, &TakenError{GUID: g, Holder: s.owner, Held: s.state == held})
	}
	if s.state == held {
		return nil
	}
	s.state = held
	delete(p.owned, owner.key())
	p.stats.Owned--
	p.stats.Held++
	return nil
}

// Pass keeps a held GUID held, from now on for another one's sake.
func (p *Pool) Pass(g GUID, to Owner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.slots[g]
	if !ok || s.state != held {
		return fmt.Errorf("hold guid %s for %s: it is not held", g, to)
	}
	s.owner = to
	return nil
}

// Free makes a held GUID allocatable again.
func (p *Pool) Free(g GUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.slots[g]
	if !ok || s.state == freed {
		return nil
	}
	if s.state == owned {
		return fmt.Errorf("free guid %s: %w", g, &TakenError{GUID: g, Holder: s.owner})
	}
	*s = slot{state: freed, freed: p.freed.PushBack(g)}
	p.stats.Held--
	if p.freed.Len() > maxFreed {
		p.recycle()
	}
	return nil
}

// maxFreed bounds what is remembered of GUIDs that are free again.
const maxFreed = 1 << 16

// recycle makes all freed GUIDs fresh again. The walk stays where it is, so that it
// comes to those behind it after all the others.
func (p *Pool) recycle() {
	for e := p.freed.Front(); e != nil; e = e.Next() {
		delete(p.slots, e.Value.(GUID))
	}
	p.freed.Init()
	for i := range p.spans {
		walk := p.spans[i].walk
		p.spans[i] = newSpan(p.spans[i].Range)
		for g := range p.slots {
			if p.spans[i].Contains(g) {
				p.spans[i].take(g)
			}
		}
		if walk > p.spans[i].First {
			p.spans[i].seek(walk - 1)
		}
	}
}

// Owner says who owns g now.
func (p *Pool) Owner(g GUID) (Owner, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.slots[g]; ok && s.state == owned {
		return s.owner, true
	}
	return Owner{}, false
}

// Holder says who had g until it was held.
func (p *Pool) Holder(g GUID) (Owner, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.slots[g]; ok && s.state == held {
		return s.owner, true
	}
	return Owner{}, false
}

// Contains reports whether g lies in the pool's ranges.
func (p *Pool) Contains(g GUID) bool {
	return slices.ContainsFunc(p.ranges, func(r Range) bool { return r.Contains(g) })
}

// Resume lets the walk go on behind g: a new leader goes on where the last one was,
// so that what was freed lately does not come first. A g outside the ranges is ignored.
func (p *Pool) Resume(g GUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.spans {
		if p.spans[i].Contains(g) {
			p.at = i
			p.spans[i].seek(g)
		}
	}
}

// Stats counts.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *Pool) span(g GUID) *span {
	for i := range p.spans {
		if p.spans[i].Contains(g) {
			return &p.spans[i]
		}
	}
	return nil
}

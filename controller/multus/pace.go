package multus

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// freely is how often in a row an object is set right at once.
	freely = 8
	// calm is the time without a write after which all before counts no more. It is above
	// backoffMax, or else the longest wait would end the count.
	calm = 2 * backoffMax
)

// pace keeps two who both set one object right from doing so at full speed for ever: a
// controller of another version, or a tool that knows the object from elsewhere. Its zero
// value has seen nothing.
type pace struct {
	mu    sync.Mutex // protects turns
	turns map[types.NamespacedName]turn
}

type turn struct {
	wish  any // what the object was to become
	count int // writes in a row for that wish
	last  time.Time
}

// tooSoon says how long a write has to wait.
type tooSoon time.Duration

func (d tooSoon) Error() string {
	return fmt.Sprintf("somebody else changes it all the time; it is set right again in %s", time.Duration(d))
}

// due says that a write must wait, if so.
func (p *pace) due(key types.NamespacedName, wish any, now time.Time) error {
	t := p.turn(key, wish, now)
	if over := t.count - freely; over >= 0 {
		const doublings = 16 // more than from backoffMin to backoffMax
		wait := min(backoffMin<<min(over, doublings), backoffMax)
		if left := wait - now.Sub(t.last); left > 0 {
			return tooSoon(left)
		}
	}
	return nil
}

// wrote counts a write that was done. One that was refused nobody undoes.
func (p *pace) wrote(key types.NamespacedName, wish any, now time.Time) {
	t := p.turn(key, wish, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns == nil {
		p.turns = map[types.NamespacedName]turn{}
	}
	p.turns[key] = turn{wish, t.count + 1, now}
}

// turn begins anew with a new wish: that is its author's doing, and nobody works against
// it yet.
func (p *pace) turn(key types.NamespacedName, wish any, now time.Time) turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.turns[key]; t.wish == wish && now.Sub(t.last) <= calm {
		return t
	}
	return turn{wish: wish}
}

// contested reports whether somebody works against us.
func (p *pace) contested(key types.NamespacedName, wish any, now time.Time) bool {
	return p.turn(key, wish, now).count >= freely
}

func (p *pace) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.turns, key)
}

package controller

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// unclaimed are GUIDs of our ranges that stand in UFM without a row: another cluster's,
// or left behind by somebody. They are not ours to remove (rule 2), and nobody is given
// one either: a pod that got it would join the partitions that it stands in.
type unclaimed struct {
	mu   sync.Mutex // protects both
	in   map[guid.GUID][]pkey.PKey
	gone map[guid.GUID]time.Time // no longer shown since; still kept out of use
	// going are those that a person has removed: no pod may pin one meanwhile.
	going map[guid.GUID]bool
}

func newUnclaimed() *unclaimed {
	return &unclaimed{in: map[guid.GUID][]pkey.PKey{}, gone: map[guid.GUID]time.Time{}, going: map[guid.GUID]bool{}}
}

// holder stands in the pool for whoever an unclaimed GUID belongs to.
func (u *unclaimed) holder(g guid.GUID) guid.Owner {
	return guid.Owner{UID: "unclaimed", Interface: g.Hex(), Name: "a member in UFM that no pod explains"}
}

// update takes what a full read showed. It keeps new ones out of the pool, and lets
// those back in that have not been seen for the hold time. Of partitions that the read
// was unsure of, what was known before stands.
func (u *unclaimed) update(now map[guid.GUID][]pkey.PKey, unsure map[pkey.PKey]bool, pool *guid.Pool, at time.Time, hold time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for g, in := range u.in {
		for _, p := range in {
			if unsure[p] {
				now[g] = append(now[g], p)
			}
		}
	}
	for g := range now {
		// Each time: one that somebody owns now may be free the next.
		_ = pool.Hold(g, u.holder(g))
		delete(u.gone, g)
	}
	for g := range u.in {
		if _, still := now[g]; !still {
			u.gone[g] = at
		}
	}
	u.in = now
	for g, since := range u.gone {
		if at.Sub(since) >= hold {
			delete(u.gone, g)
			u.free(pool, g)
		}
	}
}

// remember takes over what the last leader knew of. What of it UFM does not show is gone
// since now: nobody knows since when.
func (u *unclaimed) remember(guids []guid.GUID, pool *guid.Pool, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, g := range guids {
		_ = pool.Hold(g, u.holder(g))
		u.gone[g] = at
	}
}

// all are the GUIDs that are kept out of use.
func (u *unclaimed) all() []guid.GUID {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Keys(u.in)), maps.Keys(u.gone))
}

// free gives a GUID back that only an unclaimed member kept out of use.
func (u *unclaimed) free(pool *guid.Pool, g guid.GUID) {
	if o, ok := pool.Holder(g); ok && o == u.holder(g) {
		_ = pool.Free(g)
	}
}

// letGo frees a GUID that a row has held, unless it stands in UFM where no row says it is, or
// did so less than the hold time ago.
func (u *unclaimed) letGo(pool *guid.Pool, g guid.GUID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	// The ranges may have been others when the last leader kept it.
	if _, gone := u.gone[g]; pool.Contains(g) && (gone || len(u.in[g]) > 0) {
		return pool.Pass(g, u.holder(g))
	}
	return pool.Free(g)
}

// claim lets a pod have an unclaimed GUID that it pins, when the partitions that the
// GUID stands in are all among those that the pod joins anyway: somebody registered it
// beforehand.
func (u *unclaimed) claim(pool *guid.Pool, g guid.GUID, claims []attach.Claim) {
	u.mu.Lock()
	defer u.mu.Unlock()
	in, ok := u.in[g]
	if !ok || u.going[g] {
		return
	}
	joins := map[pkey.PKey]bool{}
	for _, cl := range claims {
		joins[cl.PKey] = true
	}
	for _, p := range in {
		if !joins[p] {
			return
		}
	}
	delete(u.in, g)
	u.free(pool, g)
}

// explained lets a GUID go that has a row after all, which came while this controller led.
func (u *unclaimed) explained(pool *guid.Pool, g guid.GUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, gone := u.gone[g]
	if _, stands := u.in[g]; !stands && !gone || u.going[g] {
		return
	}
	delete(u.in, g)
	delete(u.gone, g)
	u.free(pool, g)
}

// take keeps those of the GUIDs from pods that stand unclaimed in a partition, until left
// is called, and returns them.
func (u *unclaimed) take(p pkey.PKey, guids []guid.GUID) (taken []guid.GUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, g := range guids {
		if slices.Contains(u.in[g], p) && !u.going[g] {
			u.going[g] = true
			taken = append(taken, g)
		}
	}
	return taken
}

// left ends take. Those of taken that are out of the partition stand in one less, and are
// held from now on if that was the last.
func (u *unclaimed) left(p pkey.PKey, taken, out []guid.GUID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, g := range taken {
		delete(u.going, g)
	}
	for _, g := range out {
		u.in[g] = slices.DeleteFunc(slices.Clone(u.in[g]), func(in pkey.PKey) bool { return in == p })
		if len(u.in[g]) == 0 {
			delete(u.in, g)
			u.gone[g] = at
		}
	}
}

func (u *unclaimed) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.in)
}

// spoiltOwner stands in the pool for whoever a row that cannot be read belongs to.
func spoiltOwner(g guid.GUID) guid.Owner {
	return guid.Owner{UID: "spoilt", Interface: g.Hex(), Name: "a row of the ledger that cannot be read"}
}

// keepSpoilt keeps the GUIDs of rows that cannot be read from all pods. It is called each
// round: one that somebody else keeps now may be free the next.
func (c *Controller) keepSpoilt() {
	for _, g := range c.ledger.Unreadable() {
		_ = c.pool.Hold(g, spoiltOwner(g))
	}
}

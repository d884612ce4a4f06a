package ledger

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// SetNode notes where a pod runs, and that it was seen alive.
func (l *Ledger) SetNode(uid types.UID, node string) {
	l.change(uid, func(r *Row) bool {
		r.Seen = true
		changed := node != "" && r.Node != node
		if changed {
			r.Node = node
		}
		return changed
	})
}

// Leave starts the leaving of a pod's assigned rows, which it returns. Rows that UFM
// was never told of are returned as well: they only need to be dropped.
func (l *Ledger) Leave(uid types.UID, node, bootID string, now time.Time) []Row {
	return l.LeaveWhere(uid, func(Row) bool { return true }, node, bootID, now)
}

// LeaveWhere is Leave for those of a pod's rows that are as gone says.
func (l *Ledger) LeaveWhere(uid types.UID, gone func(Row) bool, node, bootID string, now time.Time) []Row {
	var left []Row
	l.change(uid, func(r *Row) bool {
		if r.State != Assigned || !gone(*r) {
			return false
		}
		r.State, r.Since, r.out = Leaving, now, map[pkey.PKey]bool{}
		if node != "" {
			r.Node = node
		}
		r.BootID = bootID
		left = append(left, *r)
		return true
	})
	return left
}

// change lets f change the rows of a pod; f says whether they must be stored.
func (l *Ledger) change(uid types.UID, f func(*Row) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range slices.Sorted(slices.Values(l.byPod[uid])) {
		if r := l.rows[g]; f(r) {
			l.shards.dirty(*r)
		}
	}
}

// Out notes that leaving GUIDs were seen to be out of a partition, and returns those
// that are now out of all of theirs: they are Held from now on.
func (l *Ledger) Out(p pkey.PKey, gone []guid.GUID, now time.Time) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	var held []Row
	for _, g := range gone {
		r, ok := l.rows[g]
		if !ok || r.State != Leaving {
			continue
		}
		if r.out[p] = true; len(r.out) < len(r.Partitions()) {
			continue
		}
		r.State, r.Since = Held, now
		l.shards.dirty(*r)
		held = append(held, *r)
	}
	for i, r := range held {
		held[i].Last = !slices.ContainsFunc(l.byPod[r.UID], func(g guid.GUID) bool { return l.rows[g].State == Leaving })
	}
	return held
}

// IsLeaving reports whether a row is on its way out of p and was not seen to be out.
func (l *Ledger) IsLeaving(g guid.GUID, p pkey.PKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[g]
	return ok && r.State == Leaving && !r.out[p]
}

// Return puts a held GUID that UFM shows again back on its way out.
func (l *Ledger) Return(g guid.GUID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[g]
	if !ok || r.State != Held {
		return false
	}
	r.State, r.Since, r.out, r.Returned = Leaving, now, map[pkey.PKey]bool{}, true
	l.shards.dirty(*r)
	return true
}

// Rehold lets the hold of every held row begin anew. It is for rows that another controller
// wrote: what is stored of them stays as it is, since the next leader does the same.
func (l *Ledger) Rehold(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		if r.State == Held {
			r.Since = now
		}
	}
}

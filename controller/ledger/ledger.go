package ledger

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

type guids map[guid.GUID]struct{}

// Ledger is the book in memory. Its methods take no time and do no I/O; Store puts it
// into the API server. It is safe for concurrent use.
type Ledger struct {
	mu        sync.Mutex // protects what follows
	rows      map[guid.GUID]*Row
	byPod     map[types.UID][]guid.GUID // few each: a slice is a fifth of a map
	byName    map[types.NamespacedName][]guid.GUID
	byPKey    map[pkey.PKey]guids
	byNetwork map[types.NamespacedName]guids
	shards    shelf
}

// New makes an empty Ledger.
func New() *Ledger {
	return &Ledger{
		rows: map[guid.GUID]*Row{}, byPod: map[types.UID][]guid.GUID{}, byName: map[types.NamespacedName][]guid.GUID{},
		byPKey: map[pkey.PKey]guids{}, byNetwork: map[types.NamespacedName]guids{}, shards: newShelf(),
	}
}

// Put writes a row in. A GUID has one row: a second Put of it is refused.
func (l *Ledger) Put(r Row) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(r, l.shards.roomFor(r))
}

func (l *Ledger) put(r Row, s *shard) bool {
	if _, ok := l.rows[r.GUID]; ok {
		return false
	}
	l.rows[r.GUID] = &r
	l.byPod[r.UID] = append(l.byPod[r.UID], r.GUID)
	l.byName[r.Pod] = append(l.byName[r.Pod], r.GUID)
	index(l.byNetwork, r.Network, r.GUID)
	for _, p := range r.Partitions() {
		index(l.byPKey, p, r.GUID)
	}
	l.shards.add(s, r)
	return true
}

// Drop takes a row out.
func (l *Ledger) Drop(g guid.GUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rows[g]; ok {
		l.drop(r)
	}
}

// DropUnsent takes a row out that never left this process, and reports whether it was one.
func (l *Ledger) DropUnsent(g guid.GUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[g]
	if !ok || r.Sent {
		return false
	}
	l.drop(r)
	return true
}

// DropHeld takes a row out whose hold is over, unless it is no longer held.
func (l *Ledger) DropHeld(g guid.GUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rows[g]; ok && r.State == Held {
		l.drop(r)
	}
}

func (l *Ledger) drop(r *Row) {
	g := r.GUID
	l.shards.remove(*r)
	delete(l.rows, g)
	less(l.byPod, r.UID, g)
	less(l.byName, r.Pod, g)
	unindex(l.byNetwork, r.Network, g)
	for _, p := range r.Partitions() {
		unindex(l.byPKey, p, g)
	}
}

// Dropped returns, once, the held GUIDs whose rows were dropped and are gone from the
// API server as well.
func (l *Ledger) Dropped() []guid.GUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone []guid.GUID
	for _, sh := range l.shards.named {
		for g, generation := range sh.dropped {
			if sh.saved >= generation {
				delete(sh.dropped, g)
				gone = append(gone, g)
			}
		}
	}
	slices.Sort(gone)
	return gone
}

// Get returns the row of a GUID.
func (l *Ledger) Get(g guid.GUID) (Row, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rows[g]; ok {
		return *r, true
	}
	return Row{}, false
}

// OfPod returns the rows of one pod, in order of GUID.
func (l *Ledger) OfPod(uid types.UID) []Row { return readFew(l, l.byPod, uid) }

// OfName returns the rows of all pods that had this name, in order of GUID.
func (l *Ledger) OfName(pod types.NamespacedName) []Row { return readFew(l, l.byName, pod) }

// OfNetwork returns the rows of one network, in order of GUID.
func (l *Ledger) OfNetwork(n types.NamespacedName) []Row { return read(l, l.byNetwork, n) }

// OfPKey returns the rows that claim a partition, in order of GUID; of PKey 0, those
// that claim none.
func (l *Ledger) OfPKey(p pkey.PKey) []Row { return read(l, l.byPKey, p) }

// All returns every row, in order of GUID.
func (l *Ledger) All() []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copies(len(l.rows), maps.Keys(l.rows))
}

// Each shows f every row, in no order. f must take no time and not call the Ledger.
func (l *Ledger) Each(f func(Row)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		f(*r)
	}
}

// Len is how many rows there are.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.rows)
}

// PKeys returns every partition that a row claims, in order; 0 for rows without one.
func (l *Ledger) PKeys() []pkey.PKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.byPKey))
}

// Counts says how many rows are in which state.
func (l *Ledger) Counts() (assigned, leaving, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		switch r.State {
		case Assigned:
			assigned++
		case Leaving:
			leaving++
		case Held:
			held++
		}
	}
	return assigned, leaving, held
}

// Want is what the ledger wants of one partition. Held rows count as leaving: should
// UFM show one again, a write that was given up has come in after all.
func (l *Ledger) Want(p pkey.PKey) pkey.Want {
	l.mu.Lock()
	defer l.mu.Unlock()
	var w pkey.Want
	for g := range l.byPKey[p] {
		r := l.rows[g]
		if r.State != Assigned {
			w.Leaving = append(w.Leaving, g)
			continue
		}
		c, _ := r.Claim(p)
		w.Members = append(w.Members, pkey.Member{GUID: g, Mode: c.Mode})
	}
	return w
}

// Only returns those of the GUIDs whose row is as ok says.
func (l *Ledger) Only(of []guid.GUID, ok func(Row) bool) []guid.GUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []guid.GUID
	for _, g := range of {
		if r := l.rows[g]; r != nil && ok(*r) {
			list = append(list, g)
		}
	}
	return list
}

// Untold returns the live GUIDs of a partition that are not stored yet.
func (l *Ledger) Untold(p pkey.PKey) []guid.GUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var untold []guid.GUID
	for g := range l.byPKey[p] {
		if r := l.rows[g]; !r.Told && r.State == Assigned {
			untold = append(untold, g)
		}
	}
	return untold
}

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

// Rehold lets the hold of every held row begin anew.
func (l *Ledger) Rehold(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		if r.State == Held {
			r.Since = now
			l.shards.dirty(*r)
		}
	}
}

func index[K comparable](m map[K]guids, k K, g guid.GUID) {
	if m[k] == nil {
		m[k] = guids{}
	}
	m[k][g] = struct{}{}
}

func unindex[K comparable](m map[K]guids, k K, g guid.GUID) {
	delete(m[k], g)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// less takes a GUID out of a short list.
func less[K comparable](m map[K][]guid.GUID, k K, g guid.GUID) {
	left := slices.DeleteFunc(m[k], func(have guid.GUID) bool { return have == g })
	if m[k] = left; len(left) == 0 {
		delete(m, k)
	}
}

func read[K comparable](l *Ledger, m map[K]guids, k K) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copies(len(m[k]), maps.Keys(m[k]))
}

func readFew[K comparable](l *Ledger, m map[K][]guid.GUID, k K) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copies(len(m[k]), slices.Values(m[k]))
}

func (l *Ledger) copies(n int, keys iter.Seq[guid.GUID]) []Row {
	rows := make([]Row, 0, n)
	for g := range keys {
		rows = append(rows, *l.rows[g])
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.GUID, b.GUID) })
	return rows
}

func sorted(set guids) []guid.GUID { return slices.Sorted(maps.Keys(set)) }

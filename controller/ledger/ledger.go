package ledger

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

type guids map[guid.GUID]struct{}

// Ledger is the book in memory. Its methods take no time and do no I/O; Store puts it
// into the API server. It is safe for concurrent use.
type Ledger struct {
	mu     sync.Mutex // protects what follows
	rows   map[guid.GUID]*Row
	byPod  map[types.UID][]guid.GUID // few each: a slice is a fifth of a map
	byName map[types.NamespacedName][]guid.GUID
	byPKey map[pkey.PKey]guids
	shards shelf
}

// New makes an empty Ledger.
func New() *Ledger {
	return &Ledger{
		rows: map[guid.GUID]*Row{}, byPod: map[types.UID][]guid.GUID{}, byName: map[types.NamespacedName][]guid.GUID{},
		byPKey: map[pkey.PKey]guids{}, shards: newShelf(),
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

func index(m map[pkey.PKey]guids, k pkey.PKey, g guid.GUID) {
	if m[k] == nil {
		m[k] = guids{}
	}
	m[k][g] = struct{}{}
}

func unindex(m map[pkey.PKey]guids, k pkey.PKey, g guid.GUID) {
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

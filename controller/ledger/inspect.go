package ledger

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Reader is a Ledger for those who only look. It holds the Ledger's lock no longer than it
// takes to copy keys, or the rows of a page.
type Reader struct{ l *Ledger }

// NewReader makes a Reader.
func NewReader(l *Ledger) *Reader { return &Reader{l} }

// Get returns the row of a GUID.
func (r *Reader) Get(g guid.GUID) (Row, bool) { return r.l.Get(g) }

// OfPod returns the rows of one pod, in order of GUID.
func (r *Reader) OfPod(uid types.UID) []Row { return r.l.OfPod(uid) }

// OfName returns the rows of all pods that had this name, in order of GUID.
func (r *Reader) OfName(pod types.NamespacedName) []Row { return r.l.OfName(pod) }

// Some returns the rows of those of the GUIDs that have one, in their order.
func (r *Reader) Some(of []guid.GUID) []Row { return r.l.Some(of) }

// GUIDs returns those of all rows, in no order.
func (r *Reader) GUIDs() []guid.GUID {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return slices.AppendSeq(make([]guid.GUID, 0, len(r.l.rows)), maps.Keys(r.l.rows))
}

// GUIDsOf returns those of the rows that claim a partition, in no order.
func (r *Reader) GUIDsOf(p pkey.PKey) []guid.GUID {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return slices.AppendSeq(make([]guid.GUID, 0, len(r.l.byPKey[p])), maps.Keys(r.l.byPKey[p]))
}

// Pods returns the names of all pods that have rows, in no order.
func (r *Reader) Pods() []types.NamespacedName {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return slices.AppendSeq(make([]types.NamespacedName, 0, len(r.l.byName)), maps.Keys(r.l.byName))
}

// Without returns those of the GUIDs that have no row which claims a partition.
func (r *Reader) Without(p pkey.PKey, guids []guid.GUID) []guid.GUID {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	var left []guid.GUID
	for _, g := range guids {
		if _, claimed := r.l.byPKey[p][g]; !claimed {
			left = append(left, g)
		}
	}
	return left
}

// Some returns the rows of those of the GUIDs that have one, in their order.
func (l *Ledger) Some(of []guid.GUID) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]Row, 0, len(of))
	for _, g := range of {
		if r := l.rows[g]; r != nil {
			rows = append(rows, *r)
		}
	}
	return rows
}

// Claims reports whether a GUID has a row that claims a partition.
func (l *Ledger) Claims(p pkey.PKey, g guid.GUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, claims := l.byPKey[p][g]
	return claims
}

// Vouch notes that no node runs a held GUID's pod any more, by a person's word, and reports
// whether it is held. The row then says what one of a pod says that never came to a node.
func (l *Ledger) Vouch(g guid.GUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[g]
	if !ok || r.State != Held {
		return false
	}
	r.Node, r.BootID = "", ""
	l.shards.dirty(*r)
	return true
}

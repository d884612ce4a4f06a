package ledger

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

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

// OfPKey returns the rows that claim a partition, in order of GUID; of PKey 0, those
// that claim none.
func (l *Ledger) OfPKey(p pkey.PKey) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copies(len(l.byPKey[p]), maps.Keys(l.byPKey[p]))
}

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

package grant

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/ibfabric/ibfabric/pkey"
)

// Change is what differs between two Books.
type Change struct {
	Partitions map[string]bool    // that came, went, or say something else
	PKeys      map[pkey.PKey]bool // that they have or had
	Namespaces map[string]bool    // whose labels are others
}

// compare says what differs between two Books. Members counted in a status do not.
func compare(old, next *Book, withNamespaces bool) Change {
	c := Change{Partitions: map[string]bool{}, PKeys: map[pkey.PKey]bool{}, Namespaces: map[string]bool{}}
	for name := range union(old.byName, next.byName) {
		a, b := old.byName[name], next.byName[name]
		if a != nil && b != nil && a.equal(b) {
			continue
		}
		c.Partitions[name] = true
		for _, e := range []*entry{a, b} {
			if e != nil && e.pkey != 0 {
				c.PKeys[e.pkey] = true
			}
		}
	}
	if !withNamespaces {
		return c
	}
	for name := range union(old.namespaces, next.namespaces) {
		a, had := old.namespaces[name]
		if b, has := next.namespaces[name]; had != has || !maps.Equal(a, b) {
			c.Namespaces[name] = true
		}
	}
	return c
}

func (e *entry) equal(o *entry) bool {
	return e.pkey == o.pkey && e.winner == o.winner && e.part.UID == o.part.UID &&
		e.part.DeletionTimestamp.IsZero() == o.part.DeletionTimestamp.IsZero() &&
		equality.Semantic.DeepEqual(e.part.Spec, o.part.Spec)
}

func union[V any](a, b map[string]V) map[string]bool {
	all := make(map[string]bool, len(a))
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

package grant

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// Book is what the Partitions and the labels of the namespaces say at one moment. It never
// changes, so that whoever reads it needs no lock; the Watcher makes the next one.
type Book struct {
	byName     map[string]*entry
	byPKey     map[pkey.PKey]*entry // the one that counts of those with one PKey
	namespaces map[string]labels.Set
	policy     Policy
}

// Policy says who may use a PKey that has no Partition.
type Policy struct {
	Require bool // nobody
	// Range is what Partitions are given PKeys from: nobody may use one of those either, or
	// whoever names it joins the Partition that gets it next.
	Range pkey.Scope
}

func (p Policy) open(k pkey.PKey) bool {
	return !p.Require && (len(p.Range) == 0 || !p.Range.Contains(k))
}

// NewBook reads Partitions, all of one fabric, and the labels of namespaces by their
// names; it keeps both.
func NewBook(parts []*v1alpha1.Partition, namespaces map[string]labels.Set, policy Policy) *Book {
	b := &Book{byName: make(map[string]*entry, len(parts)), byPKey: make(map[pkey.PKey]*entry, len(parts)), namespaces: namespaces, policy: policy}
	for _, part := range oldestFirst(parts) {
		e := newEntry(part)
		b.byName[e.name] = e
		if e.pkey == 0 {
			continue
		}
		if winner := b.byPKey[e.pkey]; winner != nil {
			e.winner = winner.name
			continue
		}
		b.byPKey[e.pkey] = e
	}
	return b
}

// Resolve implements Grants. The claims it returns have their PKeys, those of the network
// first, then those that its Partitions bring; the claims given are not changed.
func (b *Book) Resolve(namespace string, claims []attach.Claim) ([]attach.Claim, error) {
	var out []attach.Claim
	named := make([]*entry, 0, len(claims))
	for i, claim := range claims {
		e, err := b.find(claim)
		switch {
		case err != nil:
			return nil, err
		case e == nil && !b.policy.open(claim.PKey):
			return nil, &DeniedError{Namespace: namespace, PKey: claim.PKey}
		case e != nil:
			if err := b.mayUse(namespace, e); err != nil {
				return nil, err
			}
			named = append(named, e)
			claim = e.join(claim, i == 0)
		}
		out = append(out, claim)
	}
	out, err := b.bring(out, named)
	if err != nil {
		return nil, err
	}
	if err := attach.CheckClaims(out); err != nil {
		return nil, err
	}
	return out, nil
}

// find is the Partition of a claim; nil is a PKey without one.
func (b *Book) find(claim attach.Claim) (*entry, error) {
	if claim.PKey != 0 {
		return b.byPKey[claim.PKey], nil
	}
	if e := b.byName[claim.Partition]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: there is no Partition %q; create it, or name in the network one that kubectl get partitions shows", ErrNotYet, claim.Partition)
}

func (b *Book) mayUse(namespace string, e *entry) error {
	if err := e.unusable(); err != nil {
		return err
	}
	if e.selector.Empty() { // everybody: a namespace's labels need not be known yet
		return nil
	}
	set, known := b.namespaces[namespace]
	switch {
	case !known: // a selector of what labels are not would match none at all
		return fmt.Errorf("%w: the labels of namespace %s are not known yet", ErrNotYet, namespace)
	case e.selector.Matches(set):
		return nil
	}
	return &DeniedError{Namespace: namespace, PKey: e.pkey, Partition: e.name}
}

// bring adds the Partitions that come with those which a network names. They need no grant
// of their own: who wrote spec.also vouches for the members. What they bring themselves is
// not followed, and what the network names already stays as it is.
func (b *Book) bring(claims []attach.Claim, named []*entry) ([]attach.Claim, error) {
	for _, e := range named {
		for _, ref := range e.also {
			other := b.byName[ref.Name]
			if other == nil {
				return nil, fmt.Errorf("%w: members of Partition %s join Partition %q as well, which does not exist: create it, or take it out of spec.also", ErrNotYet, e.name, ref.Name)
			}
			if err := other.unusable(); err != nil {
				return nil, fmt.Errorf("members of Partition %s join %s as well: %w", e.name, ref.Name, err)
			}
			if !joins(claims, other.pkey) {
				claims = append(claims, other.accompany(ref.membership))
			}
		}
	}
	return claims, nil
}

func joins(claims []attach.Claim, p pkey.PKey) bool {
	for _, c := range claims {
		if c.PKey == p {
			return true
		}
	}
	return false
}

// Terms are what a Partition says of its PKey beside who may use it.
type Terms struct {
	Partition  string    // its name
	MaxMembers int       // GUIDs in it; 0: no bound
	QoS        *pkey.QoS // nil: whatever UFM has
}

// Terms are those of the Partition that counts for a PKey; false is a PKey without one.
func (b *Book) Terms(p pkey.PKey) (Terms, bool) {
	e := b.byPKey[p]
	if e == nil {
		return Terms{}, false
	}
	return Terms{Partition: e.name, MaxMembers: e.maxMembers, QoS: e.qos}, true
}

// Judge says how a Partition stands, in the words that pods would get, whether or not the
// Book has this version of it: the older Partition with its PKey, if there is one, and why
// nobody can use it; nil when those that it grants can.
func (b *Book) Judge(part *v1alpha1.Partition) (winner string, err error) {
	e := newEntry(part)
	if other := b.byPKey[e.pkey]; other != nil && other.name != e.name && isOlder(other.part, part) {
		e.winner = other.name
	}
	if err := e.unusable(); err != nil {
		return e.winner, err
	}
	_, err = b.bring([]attach.Claim{{PKey: e.pkey}}, []*entry{e})
	return "", err
}

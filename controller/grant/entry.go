package grant

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// entry is one Partition as the Book reads it.
type entry struct {
	name   string
	part   *v1alpha1.Partition // as it was read, to see whether the next one differs
	pkey   pkey.PKey           // 0: none yet
	winner string              // the older Partition with the same PKey
	fault  error               // what is wrong with its spec

	selector   labels.Selector
	membership *pkey.Membership // nil: as the network says
	index0     *bool
	ipoib      *bool
	also       []ref
	maxMembers int
	qos        *pkey.QoS
}

// ref is a Partition to join besides.
type ref struct {
	Name       string
	membership pkey.Membership
}

// PKeyOf is a Partition's PKey: the one in its status, which stays, else the one that its
// spec names; 0 while it waits for one.
func PKeyOf(part *v1alpha1.Partition) (pkey.PKey, error) {
	text := cmp.Or(part.Status.PKey, part.Spec.PKey)
	if text == "" {
		return 0, nil
	}
	p, err := pkey.Parse(text)
	if err != nil {
		return 0, fmt.Errorf("spec.pkey: %w", err)
	}
	return p, nil
}

// newEntry reads a Partition. The CRD lets none through that has a fault, but a CRD can be
// an older one.
func newEntry(part *v1alpha1.Partition) *entry {
	e := &entry{name: part.Name, part: part, index0: part.Spec.Index0, ipoib: part.Spec.IPOverIB, selector: labels.Nothing()}
	if e.pkey, e.fault = PKeyOf(part); e.fault != nil {
		return e
	}
	if e.selector, e.fault = metav1.LabelSelectorAsSelector(part.Spec.Namespaces); e.fault != nil {
		e.selector, e.fault = labels.Nothing(), fmt.Errorf("spec.namespaces: %w", e.fault)
		return e
	}
	if part.Spec.Membership != "" {
		m, err := pkey.ParseMembership(part.Spec.Membership)
		if err != nil {
			e.fault = fmt.Errorf("spec.membership: %w", err)
			return e
		}
		e.membership = &m
	}
	for _, other := range part.Spec.Also {
		m, err := pkey.ParseMembership(cmp.Or(other.Membership, pkey.Limited.String()))
		if err != nil {
			e.fault = fmt.Errorf("spec.also: Partition %q: %w", other.Name, err)
			return e
		}
		e.also = append(e.also, ref{other.Name, m})
	}
	if part.Spec.MaxMembers != nil {
		e.maxMembers = int(*part.Spec.MaxMembers)
	}
	e.qos, e.fault = QoSOf(part.Spec)
	return e
}

// QoSOf is the quality of service that a Partition asks for, in UFM's values; nil when it
// asks for none. What it leaves out is as UFM makes a partition: 2,048 bytes, 2.5 Gb/s,
// service level 0.
func QoSOf(spec v1alpha1.PartitionSpec) (*pkey.QoS, error) {
	if spec.MTU == 0 && spec.RateLimit == "" && spec.ServiceLevel == nil {
		return nil, nil
	}
	q := pkey.QoS{MTULimit: 2, RateLimit: 2.5}
	switch spec.MTU {
	case 0, 2048:
	case 4096:
		q.MTULimit = 4
	default:
		return nil, fmt.Errorf("spec.mtu %d: write 2048 or 4096", spec.MTU)
	}
	if spec.RateLimit != "" {
		rate, err := strconv.ParseFloat(spec.RateLimit, 64)
		if err != nil {
			return nil, fmt.Errorf("spec.rateLimit %.20q: write Gb/s, one of %v", spec.RateLimit, pkey.Rates())
		}
		q.RateLimit = rate
	}
	if spec.ServiceLevel != nil {
		q.ServiceLevel = int(*spec.ServiceLevel)
	}
	if err := q.Validate(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return &q, nil
}

// unusable says why nobody can join the Partition now, whoever it grants.
func (e *entry) unusable() error {
	switch {
	case e.fault != nil:
		return fmt.Errorf("%w: Partition %s: %w", ErrNotYet, e.name, e.fault)
	case !e.part.DeletionTimestamp.IsZero():
		return fmt.Errorf("%w: Partition %s is being deleted, and takes no new members", ErrNotYet, e.name)
	case e.pkey == 0:
		return fmt.Errorf("%w: Partition %s has no pkey yet; kubectl describe partition %s says why", ErrNotYet, e.name, e.name)
	case e.winner != "":
		return fmt.Errorf("%w: Partition %s has pkey %s, which the older Partition %s has: delete one of them", ErrNotYet, e.name, e.pkey, e.winner)
	}
	return nil
}

// join is a network's claim on the Partition, in the way that the Partition says, else as
// the network has it. Index 0 is for the first claim of a network; a port has it once.
func (e *entry) join(c attach.Claim, first bool) attach.Claim {
	c.PKey = e.pkey
	if e.membership != nil {
		c.Membership = *e.membership
	}
	if e.index0 != nil && first {
		c.Index0 = *e.index0
	}
	if e.ipoib != nil {
		c.IPoIB = *e.ipoib
	}
	return c
}

// accompany is the claim of who joins the Partition because another one brings it.
func (e *entry) accompany(m pkey.Membership) attach.Claim {
	return attach.Claim{PKey: e.pkey, Partition: e.name, Mode: pkey.Mode{Membership: m}, IPoIB: e.ipoib == nil || *e.ipoib}
}

// oldestFirst orders Partitions by age, which decides between two with one PKey.
func oldestFirst(parts []*v1alpha1.Partition) []*v1alpha1.Partition {
	return slices.SortedFunc(slices.Values(parts), byAge)
}

func byAge(a, b *v1alpha1.Partition) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func isOlder(a, b *v1alpha1.Partition) bool { return byAge(a, b) < 0 }

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/pkey"
)

// Grants is what the controller asks of the cluster's Partitions; *grant.Watcher has it.
type Grants interface {
	grant.Grants
	// Joined are the claims of a network as those have them who joined already, granted now
	// or not.
	Joined(claims []attach.Claim) []attach.Claim
	// Terms are what the Partition of a PKey says beside who may use it; false is a PKey
	// without one.
	Terms(p pkey.PKey) (grant.Terms, bool)
	// Synced waits until the Partitions are known; false is that ctx ended first.
	Synced(ctx context.Context) bool
	// OnChange lets f hear of every change, when Resolve answers by it already.
	OnChange(f func(grant.Change))
}

// allOpen is a cluster without Partitions: every namespace may use every PKey.
type allOpen struct{}

func (allOpen) Resolve(_ string, claims []attach.Claim) ([]attach.Claim, error) {
	for _, claim := range claims {
		if claim.PKey == 0 {
			return nil, fmt.Errorf("there is no Partition %q; name the PKey itself, as in 0x1000", claim.Partition)
		}
	}
	return claims, nil
}

func (allOpen) Joined(claims []attach.Claim) []attach.Claim { return claims }

func (allOpen) Terms(pkey.PKey) (grant.Terms, bool) { return grant.Terms{}, false }

func (allOpen) Synced(context.Context) bool { return true }

func (allOpen) OnChange(func(grant.Change)) {}

// isGrantError reports whether a network is in order, and is only not granted, or not yet.
func isGrantError(err error) bool {
	var denied *grant.DeniedError
	return errors.Is(err, grant.ErrNotYet) || errors.As(err, &denied)
}

// grantsChanged wakes those whom a change concerns: the pods that wait for a grant or for
// room, and live ones whose grant may have been withdrawn, which are told. While this
// replica does not lead nobody waits, and all are looked at when it begins to.
func (c *Controller) grantsChanged(change grant.Change) {
	for p := range change.PKeys {
		c.quota.forget(p) // nobody counted while it had no bound
	}
	select {
	case <-c.adopted:
	default:
		return
	}
	for _, key := range c.barred.take(func(pkey.PKey) bool { return true }) {
		c.pods.Add(key)
	}
	concerned := map[types.NamespacedName]bool{}
	c.ledger.Each(func(r ledger.Row) {
		in := func(claim attach.Claim) bool { return change.PKeys[claim.PKey] }
		if r.State == ledger.Assigned && (change.Namespaces[r.Pod.Namespace] || slices.ContainsFunc(r.Claims, in)) {
			concerned[r.Pod] = true
		}
	})
	for key := range concerned {
		c.pods.Add(key)
	}
	for p := range change.PKeys {
		if c.isClaimed(p) {
			c.partitions.Add(p) // its quality of service may be another
		}
	}
}

// barred are the pods that wait for a grant, or for room in a partition that is full.
type barred struct {
	mu   sync.Mutex // protects pods
	pods map[types.NamespacedName]pkey.PKey
}

func newBarred() *barred { return &barred{pods: map[types.NamespacedName]pkey.PKey{}} }

// add notes that a pod waits for room in p, or for a grant, where p is 0.
func (b *barred) add(pod types.NamespacedName, p pkey.PKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pods[pod] = p
}

// forget drops a pod that is looked at anew.
func (b *barred) forget(pod types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pods, pod)
}

// take takes out the pods that wait for what which says.
func (b *barred) take(which func(pkey.PKey) bool) (list []types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.pods, func(pod types.NamespacedName, p pkey.PKey) bool {
		if !which(p) {
			return false
		}
		list = append(list, pod)
		return true
	})
	return list
}

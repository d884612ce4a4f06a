package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// hold takes GUIDs that UFM was seen without from their owners. From now on they wait.
func (c *Controller) hold(ctx context.Context, rows []ledger.Row) error {
	if len(rows) == 0 {
		return nil
	}
	var failed []error
	var held []guid.GUID
	byPod := map[types.UID][]ledger.Row{}
	for _, r := range rows {
		if c.pool.Contains(r.GUID) { // the range may have been another when it was given
			failed = append(failed, c.pool.Release(r.GUID, r.Owner()))
		}
		held = append(held, r.GUID)
		byPod[r.UID] = append(byPod[r.UID], r)
	}
	failed = append(failed, c.store.Commit(ctx, held))
	for _, of := range byPod {
		if of[0].Last {
			c.sayHeld(of)
		}
		c.freeEntries(of[0].UID)
		c.pods.Add(of[0].Pod) // it may live, and wait for the next one
	}
	return errors.Join(failed...)
}

// sayHeld says of a pod that its GUIDs are held, once all of them are: they leave one
// partition after the other. The last of them are told by their caller, since a hold that is
// shorter than a write to the API server is over by now, and their rows are swept.
func (c *Controller) sayHeld(last []ledger.Row) {
	held := slices.DeleteFunc(c.ledger.OfPod(last[0].UID), func(r ledger.Row) bool {
		return r.State != ledger.Held || slices.ContainsFunc(last, func(l ledger.Row) bool { return l.GUID == r.GUID })
	})
	held = append(held, last...)
	slices.SortFunc(held, func(a, b ledger.Row) int { return cmp.Compare(a.GUID, b.GUID) })
	f := rowFields(held)
	f.Node, f.Detail = last[0].Node, "for "+c.cfg.Hold.String()
	c.rec.Log(record.GUIDHeld, f)
}

// sweep frees the held GUIDs whose hold is over: first in the ledger, then in the pool.
// One that UFM shows, in whatever partition, stays held. One that it showed less than the hold
// time ago where no row says it is stays held as well, for the sake of whoever it was there.
func (c *Controller) sweep(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := c.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list nodes from the cache: %w", err)
	}
	c.ready.look(nodes.Items, c.now())
	if c.cfg.Policy == DryRun || c.removeAfter().After(c.now()) {
		return nil
	}
	standing, unsure := c.view.standing()
	seenOut := func(r ledger.Row) bool {
		return !standing[r.GUID] && !slices.ContainsFunc(r.Partitions(), func(p pkey.PKey) bool { return unsure[p] })
	}
	over := slices.DeleteFunc(c.held(), func(r ledger.Row) bool { return !seenOut(r) || !c.holdIsOver(nodes.Items, r) })
	over, unasked := c.confirmed(ctx, nodes.Items, over)
	for _, r := range over {
		c.ledger.DropHeld(r.GUID)
	}
	err := errors.Join(unasked, c.store.CommitAll(ctx))
	// Also after an error: the shards that could be stored are.
	for _, g := range c.ledger.Dropped() {
		err = errors.Join(err, c.unclaimed.letGo(c.pool, g))
		c.rec.Log(record.GUIDFreed, record.Fields{GUIDs: []guid.GUID{g}})
	}
	for _, key := range c.starving.take() {
		c.pods.Add(key)
	}
	return err
}

func (c *Controller) held() (rows []ledger.Row) {
	c.ledger.Each(func(r ledger.Row) {
		if r.State == ledger.Held {
			rows = append(rows, r)
		}
	})
	return rows
}

// holdIsOver reports whether a held GUID can go to somebody else: the hold time has
// passed, and its node cannot still run the old containers. A pod object that is gone
// proves nothing of its containers: it may have been deleted by force, or its node be
// lost (rule 5).
func (c *Controller) holdIsOver(nodes []corev1.Node, r ledger.Row) bool {
	if c.now().Before(r.Since.Add(c.cfg.Hold)) {
		return false
	}
	if r.Node == "" {
		return true // never scheduled
	}
	known := false
	for i := range nodes {
		// Of a pod that ran nobody knows where, every node must speak.
		if nodes[i].Name == r.Node || r.Node == ledger.UnknownNode {
			if known = true; !c.nodeProved(&nodes[i], r) {
				return false
			}
		}
	}
	return known // a node that is no longer known may run on all the same
}

// confirmed are those of rows whose hold is over by what the API server itself says of their
// nodes. A watch that broke is behind for as long as its backoff lasts, and shows a node that is
// lost as Ready. A node is asked about once, and only when something is to be freed.
func (c *Controller) confirmed(ctx context.Context, nodes []corev1.Node, rows []ledger.Row) ([]ledger.Row, error) {
	names := map[string]bool{}
	for _, r := range rows {
		if r.Node != "" && r.Node != ledger.UnknownNode {
			names[r.Node] = true
			continue
		}
		for i := range nodes {
			if r.Node == ledger.UnknownNode {
				names[nodes[i].Name] = true
			}
		}
	}
	now, err := c.nodesNow(ctx, names)
	return slices.DeleteFunc(rows, func(r ledger.Row) bool { return !c.holdIsOver(now, r) }), err
}

// nodesNow asks the API server for nodes: for all of them or, if one answer is missing, for none.
func (c *Controller) nodesNow(ctx context.Context, names map[string]bool) ([]corev1.Node, error) {
	var now []corev1.Node
	for name := range names {
		var list corev1.NodeList // by a list, which the account may do anyway
		if err := c.client.List(ctx, &list, client.MatchingFields{"metadata.name": name}); err != nil {
			return nil, fmt.Errorf("ask for node %s, whose pods had guids that are held: %w", name, err)
		}
		now = append(now, list.Items...)
	}
	return now, nil
}

// nodeProved reports whether a node has booted since, or has been Ready for the hold
// time since: its kubelet has then put away what the API server no longer knows.
func (c *Controller) nodeProved(node *corev1.Node, r ledger.Row) bool {
	if r.BootID != "" && node.Status.NodeInfo.BootID != "" && node.Status.NodeInfo.BootID != r.BootID {
		return true
	}
	since, ready := c.ready.of(node)
	return ready && !c.now().Before(later(since, r.Since).Add(c.cfg.Hold))
}

// bootID is what a node shows now; "" when it shows nothing.
func (c *Controller) bootID(ctx context.Context, name string) string {
	var node corev1.Node
	if name == "" || name == ledger.UnknownNode || c.cache.Get(ctx, types.NamespacedName{Name: name}, &node) != nil {
		return ""
	}
	return node.Status.NodeInfo.BootID
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
)

// ErrNotHeld says that a GUID waits for nobody's word.
var ErrNotHeld = errors.New("it is not held: only a GUID whose pod ended, and which UFM was seen without, can be released")

// HoldOf says when a held GUID becomes free at the earliest, and what else it waits for: ""
// is nothing, and the next full read frees it then.
func (c *Controller) HoldOf(r ledger.Row, nodes []corev1.Node) (freeAt time.Time, waits string) {
	freeAt = r.Since.Add(c.cfg.Hold)
	if r.Node == "" || r.Node == ledger.UnknownNode {
		if r.Node != "" && !c.holdIsOver(nodes, r) && !c.now().Before(freeAt) {
			return freeAt, "nobody knows where its pod ran, and some node has not been Ready for the hold time since"
		}
		return freeAt, ""
	}
	for i := range nodes {
		if nodes[i].Name != r.Node {
			continue
		}
		if c.nodeProved(&nodes[i], r) {
			return freeAt, ""
		}
		if since, ready := c.ready.of(&nodes[i]); ready {
			return later(freeAt, since.Add(c.cfg.Hold)), ""
		}
		if _, ready := readySince(&nodes[i]); ready { // since the last sweep
			return later(freeAt, c.now().Add(c.cfg.Hold)), ""
		}
		return freeAt, fmt.Sprintf("node %s is not Ready, and may run its containers still: it must come back or boot anew, or somebody must say that it is gone for good", r.Node)
	}
	return freeAt, fmt.Sprintf("the cluster does not know node %s any more, which may run its containers still: somebody must say that it is gone for good", r.Node)
}

// Nodes are those of the cluster, for reading only.
func (c *Controller) Nodes(ctx context.Context) ([]corev1.Node, error) {
	var nodes corev1.NodeList
	if err := c.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list nodes from the cache: %w", err)
	}
	return nodes.Items, nil
}

// MayVouch says why a person's word would not free a GUID, if so, and when its hold is over.
func (c *Controller) MayVouch(ctx context.Context, g guid.GUID) (freeAt time.Time, err error) {
	if err := c.leading(); err != nil {
		return freeAt, err
	}
	if c.cfg.Policy == DryRun {
		return freeAt, errors.New("the sync policy is dry-run, which changes nothing")
	}
	r, ok := c.ledger.Get(g)
	if !ok || r.State != ledger.Held {
		return freeAt, ErrNotHeld
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return freeAt, err
	}
	freeAt, waits := c.HoldOf(r, nodes)
	if waits == "" && r.Node != ledger.UnknownNode {
		return freeAt, fmt.Errorf("it waits for no word: it becomes free by itself at %s", freeAt.UTC().Format(time.RFC3339))
	}
	return freeAt, nil
}

// Vouch frees held GUIDs from the wait for their node: user says that it is gone for good,
// and with it the containers that used them (rule 5). The hold time passes all the same. It
// says why not, by GUID, and when the others become free.
func (c *Controller) Vouch(ctx context.Context, guids []guid.GUID, user string) (freeAt map[guid.GUID]time.Time, failed map[guid.GUID]error) {
	freeAt, failed = map[guid.GUID]time.Time{}, map[guid.GUID]error{}
	var vouched []guid.GUID
	var pods []types.NamespacedName
	for _, g := range guids {
		_, err := c.MayVouch(ctx, g)
		r, _ := c.ledger.Get(g)
		if err == nil && !c.ledger.Vouch(g) {
			err = ErrNotHeld
		}
		if err != nil {
			failed[g] = err
			continue
		}
		freeAt[g] = r.Since.Add(c.cfg.Hold)
		vouched, pods = append(vouched, g), append(pods, r.Pod)
	}
	if len(vouched) == 0 {
		return freeAt, failed
	}
	if err := c.store.Commit(ctx, vouched); err != nil {
		for _, g := range vouched {
			failed[g] = fmt.Errorf("it counts for this leader, and could not be stored for the next: %w", err)
		}
	}
	c.rec.Log(record.GUIDReleased, record.Fields{GUIDs: vouched, Count: len(vouched), Detail: "by " + user})
	e := journal.Entry{Verb: journal.Release, Outcome: journal.Done, User: user, Why: "a person said that their node is gone for good"}
	e.Name(vouched, pods)
	c.journal.Note(e)
	return freeAt, failed
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// add is one call to UFM, for those of the GUIDs whose pods still live.
func (c *Controller) add(ctx context.Context, p pkey.PKey, b pkey.Batch) error {
	before, err := c.beforeChange(ctx)
	if err != nil {
		return err
	}
	if b.GUIDs = c.ledger.Only(b.GUIDs, ledger.Row.MayBeAdded); len(b.GUIDs) == 0 {
		return nil
	}
	start, makes := c.now(), c.makes(p)
	if c.waitsApplied() {
		c.view.await(p, b, before)
	}
	var from string
	again := c.wentOn(b.GUIDs)
	err = c.write(ctx, p, func(call context.Context) error {
		done := c.calls.begin(callAdd)
		from, err = c.fabric.Add(call, p, b)
		if done(err); err == nil && makes {
			c.qualify(call, p)
		}
		return err
	})
	c.journalMembers(change{journal.Add, p, b.Mode.String(), b.GUIDs, whyAdded(again, len(b.GUIDs)), from, start, err})
	if err != nil {
		return err
	}
	c.drifted.repair(again)
	c.view.added(p, b, from)
	if err := c.untilApplied(ctx, p); err != nil {
		return err // in the words of catchUp, so that who waits is told once
	}
	c.rec.Log(record.UFMAdded, record.Fields{
		PKeys: []pkey.PKey{p}, GUIDs: b.GUIDs, Membership: b.Mode.String(), Count: len(b.GUIDs), Took: c.now().Sub(start),
	})
	c.metFrom(from)
	c.enqueueOwners(b.GUIDs)
	return nil
}

// write sends one change of a partition's members to UFM.
func (c *Controller) write(ctx context.Context, p pkey.PKey, change func(context.Context) error) error {
	return c.send(ctx, func(call context.Context) error {
		c.view.writing(p)
		answered := false
		defer func() { // also after a panic below: a partition that stays busy is never read again
			if !answered {
				c.view.gaveUp(p)
			}
		}()
		err := change(call)
		answered = err == nil
		return err
	})
}

// send sends a change to UFM. That this replica leads is asked last of all: whoever was
// stopped before and goes on now writes nothing more.
func (c *Controller) send(ctx context.Context, change func(context.Context) error) error {
	call, done := c.writeContext(ctx)
	defer done()
	if err := errors.Join(ctx.Err(), c.leading()); err != nil {
		return err
	}
	err := change(call)
	c.health.wrote(err)
	return err
}

// remove is one call to UFM.
func (c *Controller) remove(ctx context.Context, p pkey.PKey, guids []guid.GUID) error {
	before, err := c.beforeChange(ctx)
	if err != nil {
		return err
	}
	guids = c.ledger.Only(guids, ledger.Row.MayBeRemoved)
	if len(guids) == 0 {
		return nil
	}
	changes, start := c.view.showsAny(p, guids), c.now()
	var from string
	err = c.write(ctx, p, func(call context.Context) error {
		done := c.calls.begin(callRemove)
		from, err = c.fabric.Remove(call, p, guids)
		done(err)
		return err
	})
	c.journalMembers(change{journal.Remove, p, "", guids, "their pods ended, or name them no longer", from, start, err})
	if err != nil {
		return err
	}
	c.view.removed(p, guids, from)
	if changes && c.waitsApplied() { // a Remove of what is not there moves nothing to wait for
		if err := c.untilMoved(ctx, p, before); err != nil {
			return fmt.Errorf("remove %d guids from pkey %s: %w", len(guids), p, err)
		}
	}
	c.metFrom(from)
	return nil
}

// seeWithout reads the partition again. A Fabric that shows nothing is believed.
func (c *Controller) seeWithout(ctx context.Context, p pkey.PKey, leaving []guid.GUID) error {
	if c.reader != nil {
		return c.read(ctx, p)
	}
	c.view.trust(p, leaving)
	return nil
}

// refuse sets aside members that UFM refused, and tells their pods.
func (c *Controller) refuse(p pkey.PKey, refused map[guid.GUID]error) {
	for g, err := range refused {
		c.refusals.add(p, g, c.now().Add(refusedFor))
		r, ok := c.ledger.Get(g)
		if !ok {
			continue
		}
		c.tellRow(r, record.UFMRejected, record.Fields{GUIDs: []guid.GUID{g}, PKeys: []pkey.PKey{p}, Err: err})
	}
}

// plan says what would be done.
func (c *Controller) plan(p pkey.PKey, diff pkey.Changes) {
	say := func(e record.Event, guids []guid.GUID) {
		if len(guids) > 0 && c.notes.exactly(planKey(e, p), fmt.Sprint(guids)) {
			c.rec.Log(e, record.Fields{PKeys: []pkey.PKey{p}, GUIDs: guids, Count: len(guids)})
		}
	}
	for _, b := range diff.Adds {
		say(record.PlanAdd, b.GUIDs)
	}
	say(record.PlanRemove, diff.Remove)
}

func planKey(e record.Event, p pkey.PKey) string { return string(e) + " " + p.String() }

// ipoib is what the first row that claims a partition says of it; it counts for the Add
// that makes the partition.
func (c *Controller) ipoib(p pkey.PKey) bool {
	for _, r := range c.ledger.OfPKey(p) {
		for _, claim := range r.Claims {
			if claim.PKey == p && r.State == ledger.Assigned {
				return claim.IPoIB
			}
		}
	}
	return true
}

// enqueueOwners lets the pods of some GUIDs look at themselves again.
func (c *Controller) enqueueOwners(guids []guid.GUID) {
	seen := map[types.NamespacedName]bool{}
	for _, g := range guids {
		if r, ok := c.ledger.Get(g); ok && !seen[r.Pod] {
			seen[r.Pod] = true
			c.pods.Add(r.Pod)
		}
	}
}

// tellWaiting tells the pods that wait for a partition why they do.
func (c *Controller) tellWaiting(p pkey.PKey, err error) {
	for _, key := range c.pending.of(p) {
		for _, r := range c.ledger.OfName(key) {
			claim, ok := r.Claim(p)
			waits := ok && !c.view.holds(p, pkey.Member{GUID: r.GUID, Mode: claim.Mode})
			if p == 0 { // without a partition it waits for its row alone
				waits = len(r.Claims) == 0 && !r.Told
			}
			if waits && r.State == ledger.Assigned {
				c.tellRow(r, record.PodWaiting, record.Fields{PKeys: []pkey.PKey{p}, Err: err})
				break
			}
		}
	}
}

// soonest is the shorter of two waits, where 0 is none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}

// without is a less b.
func without(a, b []guid.GUID) []guid.GUID {
	drop := make(map[guid.GUID]bool, len(b))
	for _, g := range b {
		drop[g] = true
	}
	var left []guid.GUID
	for _, g := range a {
		if !drop[g] {
			left = append(left, g)
		}
	}
	return left
}

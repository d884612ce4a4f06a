package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// refusedFor is how long a member that UFM refused is left out of batches.
const refusedFor = time.Minute

// syncPartition makes one partition as the ledger wants it: at most one Add for each way
// of membership, and one Remove. It is the partition queue's worker.
func (c *Controller) syncPartition(ctx context.Context, p pkey.PKey) (time.Duration, error) {
	defer c.changed(p)
	defer c.wake(p)
	if p == 0 {
		return 0, c.syncUnpartitioned(ctx)
	}
	if err := c.reclaim(ctx, p); err != nil {
		return 0, err
	}
	if err := errors.Join(c.look(ctx, p), c.catchUp(ctx, p)); err != nil {
		return 0, err
	}
	if err := c.storeFresh(ctx, p); err != nil {
		return 0, err
	}
	diff := c.diff(p)
	if c.cfg.Policy == DryRun {
		c.plan(p, diff)
		return 0, nil
	}
	again, addErr := c.addAll(ctx, p, diff.Adds)
	later, removeErr := c.removeMembers(ctx, p, diff)
	if _, fresh := c.view.members(p); !fresh && c.reader != nil && addErr == nil && removeErr == nil {
		later = soonest(later, lookAgain) // another UFM answered: see what that one has
	}
	if addErr == nil && removeErr == nil {
		var qosLater time.Duration
		qosLater, addErr = c.syncQoS(ctx, p)
		later = soonest(later, qosLater)
	}
	return soonest(again, later), errors.Join(addErr, removeErr)
}

// diff is what UFM lacks and has too much of in a partition, as far as is known.
func (c *Controller) diff(p pkey.PKey) pkey.Changes {
	shown, _ := c.view.members(p)
	return pkey.Diff(c.ledger.Want(p), shown, c.pool.Contains)
}

// addAll puts in what is missing when UFM has a turn for it. What came while it waited
// for its turn goes along if it is the better part: a write to the ledger is shorter
// than another turn.
func (c *Controller) addAll(ctx context.Context, p pkey.PKey, adds []pkey.Batch) (again time.Duration, err error) {
	ready := 0
	for _, b := range adds {
		ready += len(b.GUIDs)
	}
	if ready == 0 {
		return 0, nil
	}
	err = c.inTurn(ctx, func() error {
		if len(c.ledger.Untold(p)) > ready {
			if err := c.storeFresh(ctx, p); err != nil {
				return err
			}
		}
		again, err = c.addMembers(ctx, p, c.diff(p).Adds)
		return err
	})
	return again, err
}

// inTurn does what changes UFM, when fewer changes run than UFM takes at a time.
func (c *Controller) inTurn(ctx context.Context, change func() error) error {
	if err := c.turns.Acquire(ctx, 1); err != nil {
		return err
	}
	defer c.turns.Release(1)
	return change()
}

// lookAgain is how soon a partition is read again that another UFM answered for.
const lookAgain = 10 * time.Millisecond

// wake lets the pods go on that wait for p and are complete now, however that came about.
func (c *Controller) wake(p pkey.PKey) {
	for _, key := range c.pending.of(p) {
		// A former pod of that name has rows as well, on their way out.
		rows := slices.DeleteFunc(c.ledger.OfName(key), func(r ledger.Row) bool { return r.State != ledger.Assigned })
		if len(rows) > 0 && c.complete(rows) {
			c.pods.Add(key)
		}
	}
}

// syncUnpartitioned stores the rows of GUIDs without a partition, and holds those that
// are leaving. UFM is not asked.
func (c *Controller) syncUnpartitioned(ctx context.Context) error {
	if err := c.storeFresh(ctx, 0); err != nil || c.cfg.Policy == DryRun {
		return err
	}
	return c.holdAll(ctx, c.ledger.Out(0, c.ledger.Want(0).Leaving, c.now()))
}

// storeFresh writes the rows of new GUIDs before UFM or a pod hears of them.
func (c *Controller) storeFresh(ctx context.Context, p pkey.PKey) error {
	fresh := c.ledger.Untold(p)
	if len(fresh) == 0 || c.cfg.Policy == DryRun {
		return nil
	}
	err := c.store.Commit(ctx, fresh)
	if isDenied(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		c.tellWaiting(p, err)
	}
	return err
}

// look reads a partition unless what is known of it can be relied upon.
func (c *Controller) look(ctx context.Context, p pkey.PKey) error {
	if _, fresh := c.view.members(p); fresh || c.reader == nil {
		return nil
	}
	return c.read(ctx, p)
}

func (c *Controller) read(ctx context.Context, p pkey.PKey) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.FabricTimeout)
	defer cancel()
	mark := c.view.mark(p)
	done := c.calls.begin(callRead)
	part, err := c.reader.Partition(ctx, p)
	done(err)
	if err == nil || !c.view.isUnread(p) { // of a UFM that tells the others it says nothing
		c.health.read(err)
	}
	if err != nil {
		c.tellWaiting(p, err)
		return fmt.Errorf("read pkey %s: %w", p, err)
	}
	part.PKey = p
	c.view.show(part, mark)
	c.metFrom(part.From)
	return nil
}

// addMembers puts in what is missing, and lets the pods look whether they are complete.
func (c *Controller) addMembers(ctx context.Context, p pkey.PKey, adds []pkey.Batch) (again time.Duration, err error) {
	for _, b := range adds {
		var wait time.Duration
		if b.GUIDs, wait = c.refusals.without(p, b.GUIDs, c.now()); wait > 0 {
			again = soonest(again, wait)
		}
		if len(b.GUIDs) == 0 {
			continue
		}
		b.IPoIB = c.ipoib(p)
		refused, err := split(b.GUIDs, c.cfg.Chunk, func(part []guid.GUID) error {
			return c.add(ctx, p, pkey.Batch{Mode: b.Mode, IPoIB: b.IPoIB, GUIDs: part})
		})
		c.refuse(p, refused)
		if err != nil {
			if !errors.Is(err, errUntried) && !errors.Is(err, ErrNotLeading) && ctx.Err() == nil {
				c.tellWaiting(p, err)
			}
			return again, err
		}
	}
	return again, nil
}

// removeMembers takes out what is leaving, sees UFM without it, and holds the GUIDs.
//
// Every leaving GUID gets a Remove that UFM answered, also one that UFM does not show:
// an Add that was given up may still come in, and its inverse is what undoes it.
func (c *Controller) removeMembers(ctx context.Context, p pkey.PKey, diff pkey.Changes) (time.Duration, error) {
	leaving := c.leaving(p, diff)
	if len(leaving) == 0 {
		return 0, nil
	}
	if c.cfg.Policy == AddOnly {
		c.plan(p, pkey.Changes{Remove: leaving})
		return 0, nil
	}
	if wait := c.removeAfter().Sub(c.now()); wait > 0 {
		return wait, nil
	}
	start := c.now()
	err := c.inTurn(ctx, func() (err error) {
		leaving = c.leaving(p, c.diff(p)) // what came while it waited for its turn goes along
		return c.takeOut(ctx, p, leaving)
	})
	if err != nil {
		return 0, err
	}
	if err := c.seeWithout(ctx, p, leaving); err != nil {
		return 0, err
	}
	out := c.view.proven(p, leaving)
	if len(out) > 0 {
		c.rec.Log(record.UFMRemoved, record.Fields{PKeys: []pkey.PKey{p}, GUIDs: out, Count: len(out), Took: c.now().Sub(start)})
	}
	c.view.forget(p, out)
	if err := c.holdAll(ctx, c.ledger.Out(p, out, c.now())); err != nil {
		return 0, err
	}
	if left := len(leaving) - len(out); left > 0 {
		return 0, fmt.Errorf("remove %d guids from pkey %s: UFM answered and still shows %d of them", len(leaving), p, left)
	}
	return 0, nil
}

// holdAll holds GUIDs that are out of all their partitions, which have room for others now.
func (c *Controller) holdAll(ctx context.Context, rows []ledger.Row) error {
	err := c.hold(ctx, rows)
	c.leftBy(rows...)
	return err
}

// takeOut tells UFM to let GUIDs go, except those that it was seen without since it was
// last told.
func (c *Controller) takeOut(ctx context.Context, p pkey.PKey, leaving []guid.GUID) error {
	if back := c.ledger.Only(leaving, ledger.Row.WasReturned); len(back) > 0 {
		if err := c.store.Commit(ctx, back); err != nil {
			return err
		}
	}
	refused, err := split(without(leaving, c.view.proven(p, leaving)), c.cfg.Chunk, func(part []guid.GUID) error {
		return c.remove(ctx, p, part)
	})
	c.refuse(p, refused)
	return err
}

// leaving are the GUIDs that must go out of p and have not been seen to be out. A held
// one that UFM shows again is back on its way.
func (c *Controller) leaving(p pkey.PKey, diff pkey.Changes) []guid.GUID {
	leaving := diff.Remove
	for _, g := range diff.Remove {
		if c.ledger.Return(g, c.now()) {
			c.quota.forgetAll() // it counts again, in whatever it was in
			c.rec.Log(record.DriftFound, record.Fields{PKeys: []pkey.PKey{p}, GUIDs: []guid.GUID{g}, Count: 1, Detail: "a held guid came back"})
		}
	}
	for _, g := range diff.Gone {
		if c.ledger.IsLeaving(g, p) {
			leaving = append(leaving, g)
		}
	}
	return leaving
}

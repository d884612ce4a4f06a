package controller

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// syncLoop reads UFM in full from time to time, and looks after what no event tells of:
// drift, rows whose pods are gone, and holds that are over. It returns an error when
// this replica must not lead any more.
func (c *Controller) syncLoop(ctx context.Context) error {
	summary := c.now().Add(c.cfg.SummaryEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		case <-c.after(c.cfg.SyncEvery):
		}
		if err := c.stepAside(ctx); err != nil {
			return err
		}
		if err := c.syncOnce(ctx); err != nil && ctx.Err() == nil && c.notes.once("sync", err.Error()) {
			c.rec.Log(record.WorkFailed, record.Fields{Detail: "sync", Err: err})
		} else if err == nil {
			c.notes.forget("sync")
		}
		if now := c.now(); !now.Before(summary) {
			summary = now.Add(c.cfg.SummaryEvery)
			c.rec.Log(record.Summary, record.Fields{Detail: c.summary()})
		}
	}
}

// syncOnce is one round. Garbage is collected after UFM was read and only then, so that
// a row is never judged by a pod list that is older than what UFM showed (rule 8).
func (c *Controller) syncOnce(ctx context.Context) error {
	for _, key := range c.notes.ofPods(c.isOver) {
		c.pods.Add(key) // its worker forgets
	}
	tended := c.tendLedger(ctx) // before UFM is asked, which can be away for hours
	if err := c.readAll(ctx); err != nil {
		return errors.Join(tended, err)
	}
	c.judgeMembers()
	c.quota.forgetAll() // what was not counted as it happened is counted now
	c.refusals.prune(c.now())
	err := errors.Join(tended, c.storeUnclaimed(ctx), c.collectGarbage(ctx), c.sweep(ctx))
	for _, key := range c.pending.all() {
		c.pods.Add(key)
	}
	return err
}

// readAll takes a full read of UFM into the view.
func (c *Controller) readAll(ctx context.Context) error {
	if c.reader == nil {
		return nil
	}
	// No deadline over all: a UFM that lists bare names is asked for each. The client
	// bounds every request.
	marks, start, done := c.view.marks(), c.now(), c.calls.begin(callReadAll)
	parts, err := c.reader.Partitions(ctx)
	if done(err); err != nil {
		c.health.read(err)
		return fmt.Errorf("read all partitions: %w", err)
	}
	from := ""
	if len(parts) > 0 {
		from = parts[0].From
	}
	if base := c.view.baseFrom(); base != "" && base != from {
		for _, p := range c.qualities.forgetAll() { // another UFM, which may never have heard of it
			c.partitions.Add(p)
		}
	}
	c.view.showAll(parts, marks, from)
	listed := make(map[pkey.PKey]bool, len(parts))
	for _, part := range parts {
		listed[part.PKey] = true
	}
	c.listed.Store(&listed)
	c.full.Store(&FullRead{At: c.now(), Took: c.now().Sub(start), From: from, Unread: unreadOf(parts)})
	c.health.read(nil) // who is woken by it must know already what could not be read
	c.tellUnread(parts)
	return nil
}

// tellUnread says which partitions could not be read, once. Of one that a row claims its
// worker says it, and its pods hear it.
func (c *Controller) tellUnread(parts []pkey.Partition) {
	for _, part := range parts {
		about := "unread " + part.PKey.String()
		if part.Err == nil {
			c.notes.forget(about)
			continue
		}
		if !c.isClaimed(part.PKey) && c.notes.once(about, part.Err.Error()) {
			c.rec.Log(record.WorkFailed, record.Fields{PKeys: []pkey.PKey{part.PKey}, Detail: "read UFM; who is in this partition stays unknown, the others go on", Err: part.Err})
		}
	}
}

// isClaimed reports whether a row claims a partition.
func (c *Controller) isClaimed(p pkey.PKey) bool {
	want := c.ledger.Want(p)
	return len(want.Members)+len(want.Leaving) > 0
}

// judgeMembers compares the view with the ledger: what differs goes to the partition
// queue, and what no row explains is reported.
func (c *Controller) judgeMembers() {
	strangers, unsure := map[guid.GUID][]pkey.PKey{}, map[pkey.PKey]bool{}
	for _, p := range c.allPKeys() {
		members, fresh := c.view.members(p)
		if !fresh {
			unsure[p] = true
			if c.isClaimed(p) { // who is in another's partition the next full read tells
				c.partitions.Add(p)
			}
			continue
		}
		if len(members) == 0 {
			c.qualities.forget(p)
		}
		diff := pkey.Diff(c.ledger.Want(p), members, c.pool.Contains)
		for _, g := range diff.Unclaimed {
			strangers[g] = append(strangers[g], p)
		}
		for _, g := range diff.Remove {
			c.ledger.Return(g, c.now()) // before the sweep looks: it is not out after all
		}
		c.noteDrift(p, c.drift(diff))
		if len(diff.Adds)+len(diff.Remove)+len(diff.Gone) > 0 {
			c.partitions.Add(p)
		}
	}
	c.unclaimed.update(strangers, unsure, c.pool, c.now(), c.cfg.Hold)
	c.keepSpoilt()
	if n := len(strangers); n == 0 {
		c.notes.forget("unclaimed")
	} else if c.notes.exactly("unclaimed", fmt.Sprint(n)) {
		f := record.Fields{Count: n, Detail: "left alone, and not given to pods"}
		for g := range strangers {
			f.GUIDs = append(f.GUIDs, g)
		}
		c.rec.Log(record.MembersUnclaimed, f)
	}
}

// tendLedger puts right what somebody did to the ledger by hand.
func (c *Controller) tendLedger(ctx context.Context) error {
	if c.cfg.Policy == DryRun {
		return nil
	}
	return errors.Join(c.store.Tend(ctx, c.now()), c.store.CommitAll(ctx))
}

// storeUnclaimed lets the next leader know which GUIDs nobody may get, also those that UFM
// does not show any more by then.
func (c *Controller) storeUnclaimed(ctx context.Context) error {
	if c.cfg.Policy == DryRun {
		return nil
	}
	c.ledger.SetUnclaimed(c.unclaimed.all())
	return c.store.CommitAll(ctx)
}

// drift counts the members that were in their partition and no longer are, as opposed
// to those that are on their way in.
func (c *Controller) drift(diff pkey.Changes) int {
	n := 0
	for _, b := range diff.Adds {
		for _, g := range b.GUIDs {
			if r, ok := c.ledger.Get(g); ok && c.patched.known(r.UID) {
				n++
			}
		}
	}
	return n
}

func (c *Controller) allPKeys() []pkey.PKey {
	seen := map[pkey.PKey]bool{0: true, pkey.Default: true}
	var all []pkey.PKey
	for _, list := range [][]pkey.PKey{c.ledger.PKeys(), c.view.pkeys()} {
		for _, p := range list {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// suspects are pods with rows that the cache does not show alive, and for how many
// rounds in a row that was so.
type suspects map[types.UID]int

// collectGarbage lets go of what pods had that ended unseen: while nobody led, or in a
// gap of the watch. A row goes when two rounds did not explain it and the API server
// itself says that its pod is gone.
func (c *Controller) collectGarbage(ctx context.Context) error {
	gone := map[types.UID]ledger.Row{}
	c.ledger.Each(func(r ledger.Row) {
		if r.State == ledger.Assigned && !c.podCache.lives(r.Pod, r.UID) {
			gone[r.UID] = r
		}
	})
	now := suspects{}
	var failed []error
	for uid, r := range gone {
		if now[uid] = c.suspects[uid] + 1; now[uid] >= 2 && !c.removeAfter().After(c.now()) {
			failed = append(failed, c.letGoIfGone(ctx, r))
		}
	}
	c.suspects = now
	return errors.Join(failed...)
}

// letGoIfGone asks the API server, not the cache, whether a row's pod is gone or
// finished, and then lets it go. Where one ran whose end nobody saw is known as far as
// its row or its own last word says. Of one that this leader saw alive the watch tells where
// it ran, or that it ran nowhere: only its worker may be behind with it.
func (c *Controller) letGoIfGone(ctx context.Context, r ledger.Row) error {
	var pod corev1.Pod
	err := c.client.Get(ctx, r.Pod, &pod)
	switch same := err == nil && pod.UID == r.UID; {
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("ask for pod %s: %w", r.Pod, err)
	case same && !isFinished(&pod):
		return nil
	case same:
		c.ledger.SetNode(r.UID, pod.Spec.NodeName)
	case r.Node == "" && !r.Seen:
		c.ledger.SetNode(r.UID, ledger.UnknownNode)
	}
	c.letGo(ctx, r.UID)
	return nil
}

// summary is the fabric in one line.
func (c *Controller) summary() string {
	assigned, leaving, held := c.ledger.Counts()
	stats := c.pool.Stats()
	ufm := "UFM answers"
	if c.health.isDown() {
		ufm = "UFM does not answer"
	}
	return fmt.Sprintf("%d members assigned, %d leaving, %d held, %d unclaimed in UFM; %d partitions; %d of %d guids in use; %s",
		assigned, leaving, held, c.unclaimed.count(), len(c.ledger.PKeys()), stats.Owned+stats.Held, stats.Size, ufm)
}

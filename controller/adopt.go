package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
)

// adopt reads what there is, before anything is allocated: the ledger, UFM, and the
// pods that live (rule 7). It waits for as long as one of them does not answer.
func (c *Controller) adopt(ctx context.Context) error {
	start := c.now()
	if err := c.persist(ctx, "read the ledger", c.loadLedger); err != nil {
		return err
	}
	if err := c.outlast(ctx); err != nil {
		return err
	}
	if err := c.persist(ctx, "read UFM", c.readAll); err != nil {
		return err
	}
	if err := c.persist(ctx, "adopt the pods", c.adoptPods); err != nil {
		return err
	}
	c.claimRows()
	if c.cfg.Policy != DryRun {
		if err := c.persist(ctx, "store the ledger", c.store.CommitAll); err != nil {
			return err
		}
	}
	if err := c.countStays(); err != nil {
		return err
	}
	c.unclaimed.remember(c.ledger.Unclaimed(), c.pool, c.now())
	c.judgeMembers()
	if err := c.persist(ctx, "store the unclaimed members", c.storeUnclaimed); err != nil {
		return err
	}
	c.rec.Log(record.LeaderAdopted, record.Fields{Count: c.ledger.Len(), Took: c.now().Sub(start)})
	return nil
}

// outlast waits for a leader that may not know yet that it leads no more: there is a ledger,
// and was no lease, so that somebody deleted that. Else two would judge pods by two ledgers,
// and each take back what the other wrote.
func (c *Controller) outlast(ctx context.Context) error {
	if c.lease == nil || !c.lease.Made() || c.ledger.Len() == 0 {
		return nil
	}
	wait := c.lease.Outlasts()
	c.rec.Log(record.WorkFailed, record.Fields{Detail: "begin to work", Err: fmt.Errorf("there was no lease, and a ledger: whoever led may go on for %s, which is waited for", wait)})
	return c.sleep(ctx, wait)
}

// persist tries a step until it succeeds or the leader's time ends.
func (c *Controller) persist(ctx context.Context, what string, step func(context.Context) error) error {
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		err := step(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrNotLeading) {
			return err
		}
		if c.notes.once("adopt", err.Error()) {
			c.rec.Log(record.WorkFailed, record.Fields{Detail: what, Err: err})
		}
		if err := c.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (c *Controller) loadLedger(ctx context.Context) error {
	spoilt, err := c.store.Load(ctx)
	if err != nil {
		return err
	}
	if spoilt != nil {
		c.rec.Log(record.LedgerSpoilt, record.Fields{Err: spoilt})
	}
	// When they began is known by another's clock, which may be ahead of ours or behind; and
	// a leader that died may have seen one of them come back and not come to store it.
	c.ledger.Rehold(c.now())
	return nil
}

// claim is what a live pod says it has, and the ledger does not know of.
type claim struct {
	pod *corev1.Pod
	row ledger.Row
}

// adoptPods makes rows for live pods that were configured without us, by ib-kubernetes
// or by a controller whose ledger is lost. Of two claims on one GUID the ledger's stands;
// with no row, or one that vacate drops, that of the pod whose PKey UFM shows it in,
// since notAdoptable refuses the others; else the older pod's.
func (c *Controller) adoptPods(ctx context.Context) error {
	byGUID := map[guid.GUID][]claim{}
	err := c.podCache.each(func(pod *corev1.Pod) bool {
		if isFinished(pod) {
			return true
		}
		c.ledger.SetNode(pod.UID, pod.Spec.NodeName)
		if pod.Annotations[attach.NetworksAnnotation] == "" {
			return true
		}
		for _, r := range c.claimsOf(ctx, pod) {
			byGUID[r.GUID] = append(byGUID[r.GUID], claim{pod, r})
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("list pods from the cache: %w", err)
	}
	for g, claims := range byGUID {
		if err := c.vacate(ctx, g, claims); err != nil {
			return err
		}
		c.settle(g, claims)
	}
	return nil
}

// vacate drops the row of a GUID whose pod is gone, when somebody else gave the GUID to a
// live pod: between two of our leaders ib-kubernetes let it go and used it again. The row
// of the dead would have it taken from the living.
func (c *Controller) vacate(ctx context.Context, g guid.GUID, claims []claim) error {
	r, ok := c.ledger.Get(g)
	if !ok || !slices.ContainsFunc(claims, func(cl claim) bool { return c.givenAnew(r, cl) }) {
		return nil
	}
	var pod corev1.Pod
	err := c.client.Get(ctx, r.Pod, &pod)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("ask for pod %s, which the ledger has guid %s for: %w", r.Pod, g, err)
	case err == nil && pod.UID == r.UID && !isFinished(&pod):
		return nil
	}
	c.ledger.Return(g, c.now()) // of a held row the pool would free the GUID
	c.ledger.Drop(g)
	return nil
}

// givenAnew reports whether a claim has more to it than an annotation, which can be a copy
// of the former pod's: UFM shows the GUID where the pod says, and either the pod runs with
// it, or the ledger's last word was that UFM had been seen without it.
func (c *Controller) givenAnew(r ledger.Row, cl claim) bool {
	for _, a := range cl.row.Claims {
		if !c.view.shows(a.PKey, r.GUID) {
			return false
		}
	}
	return cl.pod.Status.Phase == corev1.PodRunning || (r.State == ledger.Held && len(cl.row.Claims) > 0)
}

// settle gives a GUID to one of the pods that claim it, and tells the others.
func (c *Controller) settle(g guid.GUID, claims []claim) {
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), cmp.Compare(a.pod.UID, b.pod.UID))
	})
	for _, cl := range claims {
		if c.ledger.Put(cl.row) {
			continue
		}
		owner, _ := c.ledger.Get(g)
		err := fmt.Errorf("guid %s belongs to another pod: delete this pod, and leave the guid out when it is made anew", g)
		c.tell(cl.pod, record.GUIDConflict, record.Fields{GUIDs: []guid.GUID{g}, Err: err, Detail: "it is " + owner.Pod.String() + "'s"})
	}
}

// claimRows takes the rows' GUIDs in the pool, and lets the walk go on behind the newest.
func (c *Controller) claimRows() {
	rows := c.ledger.All()
	c.foundRows(rows)
	c.keepSpoilt()
	var newest ledger.Row
	for _, r := range rows {
		if r.State == ledger.Assigned && !r.Since.Before(newest.Since) {
			newest = r
		}
	}
	c.pool.Resume(newest.GUID)
}

// foundLater takes rows that somebody else wrote while this controller led: as adoption does,
// with holds that begin now, all of them, since such a write is rare.
func (c *Controller) foundLater(rows []ledger.Row, spoilt error) {
	if spoilt != nil {
		c.rec.Log(record.LedgerSpoilt, record.Fields{Err: spoilt})
	}
	c.ledger.Rehold(c.now())
	c.foundRows(rows)
}

// foundRows takes the GUIDs of rows in the pool. A row outside the ranges, from before
// they were changed, counts all the same: nobody is given its GUID.
//
// Held ones come first: an interface that was edited had another GUID before.
func (c *Controller) foundRows(rows []ledger.Row) {
	slices.SortStableFunc(rows, func(a, b ledger.Row) int { return cmp.Compare(b.State, a.State) })
	for _, r := range rows {
		if o, ok := c.pool.Holder(r.GUID); ok && o == spoiltOwner(r.GUID) {
			_ = c.pool.Free(r.GUID) // somebody mended its row
		}
		c.unclaimed.explained(c.pool, r.GUID)
		take := c.pool.Assign
		if r.State == ledger.Held {
			take = func(o guid.Owner, g guid.GUID) error { return c.pool.Hold(g, o) }
		}
		err := take(r.Owner(), r.GUID)
		var taken *guid.TakenError
		if errors.As(err, &taken) && taken.GUID != r.GUID {
			err = c.keepBoth(r, taken.GUID)
		}
		var outside *guid.OutOfRangeError
		if err != nil && !errors.As(err, &outside) {
			c.rec.Log(record.GUIDConflict, record.Fields{Pod: r.Pod, UID: r.UID, GUIDs: []guid.GUID{r.GUID}, Err: err})
		}
	}
}

// keepBoth keeps two GUIDs of one interface from all other pods. The pool knows one GUID an
// owner, so that it must hold both. Two live rows are told of: which of the GUIDs the pod
// uses nobody can tell.
func (c *Controller) keepBoth(r ledger.Row, other guid.GUID) error {
	if c.pool.Contains(r.GUID) {
		if err := errors.Join(c.pool.Release(other, r.Owner()), c.pool.Hold(r.GUID, r.Owner())); err != nil {
			return err
		}
	}
	if r.State == ledger.Held {
		return nil
	}
	return fmt.Errorf("interface %s has two rows in the ledger, guid %s and guid %s: no other pod gets either; delete the pod, and both leave", r.Interface, other, r.GUID)
}

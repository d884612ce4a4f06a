package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// heldRetry is how often a pod asks again that waits for a GUID, beside the moments when
// GUIDs become free.
const heldRetry = 15 * time.Second

// syncPod brings one pod to where its fabric is ready, or lets go what a gone one had.
// It is the pod queue's worker, and safe to call at any time.
func (c *Controller) syncPod(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	pod, err := c.getPod(key)
	if err != nil {
		return 0, err
	}
	c.barred.forget(key)
	c.releaseFormer(ctx, key, pod)
	c.forgetOver(key, pod)
	if pod == nil || isFinished(pod) {
		c.pending.forget(key)
		return 0, nil
	}
	c.ledger.SetNode(pod.UID, pod.Spec.NodeName)
	c.stays(pod, c.rowsOf(pod)) // whatever its networks say by now
	asks, err := c.wanted(ctx, pod)
	if len(asks.marked) > 0 && c.judgesMarks(pod) {
		return 0, c.takeBack(ctx, pod, asks.marked)
	}
	if err == nil {
		c.letGoUnnamed(ctx, pod, asks.ours)
	}
	if err != nil || len(asks.ours) == 0 {
		c.pending.forget(key)
		return 0, c.refusePod(ctx, pod, asks.unjudged, err)
	}
	if why := leaveAlone(pod, c.cfg.Gate()); why != "" {
		c.pending.forget(key)
		return 0, c.leaveBe(pod, why)
	}
	rows, err := c.assign(pod, asks.ours)
	if err != nil {
		return c.waitForGUID(pod, err)
	}
	c.reasons.passed(key, pod.UID)
	c.stays(pod, c.rowsOf(pod))
	// Among those that wait before it is looked whether it must: who completes a
	// partition in between wakes it.
	c.expect(pod, asks.ours, rows)
	if len(rows) == 0 || !c.complete(rows) {
		return 0, nil
	}
	return 0, c.release(ctx, pod, asks, rows)
}

// assign gives every interface its GUID and its row. Interfaces that have a row keep
// what it says, whatever the network says now.
func (c *Controller) assign(pod *corev1.Pod, wanted []want) ([]ledger.Row, error) {
	have := map[string]ledger.Row{}
	for _, r := range c.rowsOf(pod) {
		have[r.Interface] = r
	}
	var entering []want
	for _, w := range wanted {
		if r, ok := have[w.Interface]; ok {
			c.noteChangedNetwork(r, w.net)
		} else if entering = append(entering, w); pod.DeletionTimestamp != nil {
			return nil, nil
		}
	}
	entered, err := c.admit(pod, entering)
	if err != nil {
		return nil, err
	}
	var fresh []ledger.Row
	begins := len(have) == 0
	defer func() {
		entered(fresh)
		if begins && len(fresh) > 0 {
			c.patched.begin(pod.UID)
		}
		c.begin(pod, fresh)
	}()
	if fresh, err = c.newRows(pod, entering); err != nil {
		return nil, err
	}
	for _, r := range fresh {
		have[r.Interface] = r
	}
	rows := make([]ledger.Row, len(wanted))
	for i, w := range wanted {
		rows[i] = have[w.Interface]
	}
	return rows, nil
}

// expect puts a pod among those that wait for their partitions, if it is to be let go on.
func (c *Controller) expect(pod *corev1.Pod, wanted []want, rows []ledger.Row) {
	ungated := gateIndex(pod, c.cfg.Gate()) < 0
	if len(rows) == 0 || pod.DeletionTimestamp != nil || (ungated && (pod.Status.Phase == corev1.PodRunning || saysSo(wanted, rows))) {
		c.pending.forget(keyOf(pod))
		return
	}
	var partitions []pkey.PKey
	for _, r := range rows {
		partitions = append(partitions, r.Partitions()...)
	}
	c.pending.add(keyOf(pod), partitions, pod.CreationTimestamp.Time, c.now())
}

// begin lets the partitions of new rows be looked at.
func (c *Controller) begin(pod *corev1.Pod, fresh []ledger.Row) {
	if len(fresh) > 0 {
		c.rec.Log(record.PodAssigned, podFields(pod, fresh))
	}
	for _, r := range fresh {
		c.enqueueClaims(r)
	}
}

// newRows takes GUIDs for interfaces, and returns the rows that were made, also beside an
// error: those that the pod pins come one by one, and of the others all or none.
func (c *Controller) newRows(pod *corev1.Pod, entering []want) (made []ledger.Row, err error) {
	var next []ledger.Row
	for _, w := range entering {
		r, err := c.newRow(pod, w)
		switch {
		case err != nil:
			return made, fmt.Errorf("interface %s: %w", w.Interface, err)
		case r.GUID == 0:
			next = append(next, r)
		default:
			made = append(made, r)
		}
	}
	owners := make([]guid.Owner, len(next))
	for i, r := range next {
		owners[i] = r.Owner()
	}
	guids, err := c.pool.Allocate(owners...)
	if err != nil {
		return made, err
	}
	for i, r := range next {
		r.GUID = guids[i]
		if putErr := c.put(r); putErr != nil {
			err = errors.Join(err, fmt.Errorf("interface %s: %w", r.Interface, putErr))
			continue
		}
		made = append(made, r)
	}
	return made, err
}

// newRow is the row of an interface, with the GUID that it must have, or none where the next
// will do.
func (c *Controller) newRow(pod *corev1.Pod, w want) (ledger.Row, error) {
	r := ledger.Row{
		Pod: keyOf(pod), UID: pod.UID, Interface: w.Interface, Network: w.Network,
		Claims: w.net.Claims, Node: pod.Spec.NodeName, Since: c.now(), Seen: true,
	}
	if former, leaves := c.leavingOf(pod, w.Interface); leaves {
		return r, &stillLeavingError{former}
	}
	if r.GUID = w.GUID; r.GUID == 0 && pod.Status.Phase == corev1.PodRunning {
		// Its CNI is done: what it has is what Multus reports, and nothing new.
		r.GUID = attach.GUIDOf(attach.StatusGUIDs(pod.Annotations[attach.NetworkStatusAnnotation]), w.Element)
	}
	if r.GUID == 0 {
		return r, nil
	}
	c.unclaimed.claim(c.pool, r.GUID, r.Claims)
	if err := c.pool.Assign(r.Owner(), r.GUID); err != nil {
		return r, err
	}
	return r, c.put(r)
}

// put writes a row into the ledger, whose GUID its interface has in the pool.
func (c *Controller) put(r ledger.Row) error {
	if c.ledger.Put(r) {
		return nil
	}
	if former, _ := c.ledger.Get(r.GUID); former.UID == r.UID {
		return &stillLeavingError{former}
	}
	return fmt.Errorf("guid %s has a row in the ledger already", r.GUID)
}

// enqueueClaims lets the partition queue look at all that a row claims. A row without
// a partition goes through it as well, as PKey 0, to be stored before its pod hears of it.
func (c *Controller) enqueueClaims(r ledger.Row) {
	for _, p := range r.Partitions() {
		c.partitions.Add(p)
	}
}

// complete reports whether every row is stored and all its memberships stand in UFM
// (rule 3).
func (c *Controller) complete(rows []ledger.Row) bool {
	for _, r := range rows {
		if !r.Told {
			return false
		}
		for _, claim := range r.Claims {
			if !c.view.holds(claim.PKey, pkey.Member{GUID: r.GUID, Mode: claim.Mode}) {
				return false
			}
		}
	}
	return true
}

// waitForGUID tells the pod why it has no GUID, and says when to ask again.
func (c *Controller) waitForGUID(pod *corev1.Pod, err error) (time.Duration, error) {
	var taken *guid.TakenError
	var leaves *stillLeavingError
	var full *fullError
	if errors.As(err, &taken) {
		if r, ok := c.ledger.Get(taken.GUID); ok && r.State == ledger.Leaving && c.cfg.Policy == Sync {
			taken.Held = true // as good as: no reason to choose another
		}
	}
	switch {
	case errors.As(err, &full) && !full.never():
		c.tell(pod, record.PodWaiting, record.Fields{PKeys: []pkey.PKey{full.pkey}, Err: err})
	case errors.As(err, &taken) && taken.Held, errors.Is(err, guid.ErrExhausted), errors.As(err, &leaves):
		c.tell(pod, record.PodWaiting, record.Fields{Err: c.discreet(pod, err)})
		c.starving.add(keyOf(pod))
	default:
		c.tell(pod, record.PodRefused, record.Fields{Err: c.discreet(pod, err)})
	}
	return heldRetry, nil
}

// discreet keeps the names of one tenant's pods out of another's Events; the log has them.
func (c *Controller) discreet(pod *corev1.Pod, err error) error {
	var taken *guid.TakenError
	if !errors.As(err, &taken) {
		return err
	}
	state := "belongs to another pod: leave the guid out, or choose one that is free"
	if taken.Held {
		state = "was another pod's until lately and is held: the pod gets it when the hold is over"
	}
	if r, ok := c.ledger.Get(taken.GUID); ok && r.Pod.Namespace == pod.Namespace {
		state += " (" + r.Pod.Name + " " + r.Interface + ")"
	}
	if c.notes.onceTo(keyOf(pod), pod.UID, "conflict "+taken.GUID.String()) {
		c.rec.Log(record.GUIDConflict, record.Fields{Pod: keyOf(pod), UID: pod.UID, GUIDs: []guid.GUID{taken.GUID}, Err: err})
	}
	return fmt.Errorf("guid %s %s", taken.GUID, state)
}

// refusePod tells the pod what to change; with nothing to change it has nothing to wait for.
// It comes back when the pod, one of its networks or their Partitions change.
func (c *Controller) refusePod(ctx context.Context, pod *corev1.Pod, unjudged types.NamespacedName, err error) error {
	var missing *missingNetworkError
	waits := errors.As(err, &missing) || errors.Is(err, grant.ErrNotYet)
	switch {
	case err == nil && unjudged.Name != "":
		c.tellUnjudged(pod, unjudged)
	case err == nil:
		return c.openGate(ctx, pod)
	case len(c.rowsOf(pod)) > 0 && gateIndex(pod, c.cfg.Gate()) < 0:
		c.tell(pod, record.PodKeeps, record.Fields{Detail: err.Error() + "; the pod keeps what it has"})
	case waits:
		c.tell(pod, record.PodWaiting, record.Fields{Err: err})
	case apierrors.IsInternalError(err) || errors.Is(err, context.Canceled):
		return err
	default:
		c.tell(pod, record.PodRefused, record.Fields{Err: err})
	}
	return nil
}

// leaveBe says why a pod on one of our networks gets nothing.
func (c *Controller) leaveBe(pod *corev1.Pod, why string) error {
	if len(c.rowsOf(pod)) == 0 && why != otherGates {
		c.tell(pod, record.PodIgnored, record.Fields{Detail: why})
	}
	return nil
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
)

// releaseFormer lets go what former pods of this name had, and this one when it ended.
// Rows of pods that this leader never saw alive are the garbage collection's to judge.
func (c *Controller) releaseFormer(ctx context.Context, key types.NamespacedName, pod *corev1.Pod) {
	done := map[types.UID]bool{}
	for _, r := range c.ledger.OfName(key) {
		gone := pod == nil || pod.UID != r.UID || isFinished(pod)
		if gone && r.Seen && r.State == ledger.Assigned && !done[r.UID] {
			done[r.UID] = true
			c.letGo(ctx, r.UID)
		}
	}
}

// letGo starts the way out of all that a pod had which is over.
func (c *Controller) letGo(ctx context.Context, uid types.UID) {
	c.letGoWhere(ctx, uid, func(ledger.Row) bool { return true }, "")
	c.patched.forget(uid)
}

// letGoUnnamed lets go what a pod has for interfaces that an edit of its annotation took
// away, renumbered or gave to another network. Of a pod that may have gone on nothing is
// taken: its CNI may have read what the annotation said before. Nor is it where nothing is
// ever taken out of UFM, and the interface would wait for that.
func (c *Controller) letGoUnnamed(ctx context.Context, pod *corev1.Pod, wanted []want) {
	if c.cfg.Policy != Sync || !c.patched.neverWentOn(pod, gateIndex(pod, c.cfg.Gate()) >= 0) {
		return
	}
	unnamed := func(r ledger.Row) bool {
		return !slices.ContainsFunc(wanted, func(w want) bool { return w.Interface == r.Interface && w.Network == r.Network })
	}
	rows := c.rowsOf(pod)
	if !slices.ContainsFunc(rows, unnamed) {
		return
	}
	c.letGoWhere(ctx, pod.UID, unnamed, "the pod no longer names them")
	if len(c.rowsOf(pod)) == 0 {
		c.patched.forget(pod.UID)
	}
}

// rowsOf are what a pod has. One that was edited may have rows besides that are on their
// way out.
func (c *Controller) rowsOf(pod *corev1.Pod) []ledger.Row { return c.rowsOfUID(pod.UID) }

func (c *Controller) rowsOfUID(uid types.UID) []ledger.Row {
	return slices.DeleteFunc(c.ledger.OfPod(uid), func(r ledger.Row) bool { return r.State != ledger.Assigned })
}

// leavingOf is what an interface of a live pod had before its annotation was edited, while
// UFM may still have it: an interface owns one GUID at a time.
func (c *Controller) leavingOf(pod *corev1.Pod, ifname string) (ledger.Row, bool) {
	for _, r := range c.ledger.OfPod(pod.UID) {
		if r.Interface == ifname && r.State == ledger.Leaving {
			return r, true
		}
	}
	return ledger.Row{}, false
}

// stillLeavingError says why an interface has to wait for its next GUID.
type stillLeavingError struct{ row ledger.Row }

func (e *stillLeavingError) Error() string {
	return fmt.Sprintf("interface %s had guid %s on network %s before the pod was edited: it gets another one when UFM has let that go", e.row.Interface, e.row.GUID, e.row.Network)
}

// letGoWhere starts the way out of those of a pod's rows that are as gone says.
func (c *Controller) letGoWhere(ctx context.Context, uid types.UID, gone func(ledger.Row) bool, why string) {
	node := ""
	if rows := c.ledger.OfPod(uid); len(rows) > 0 {
		node = rows[0].Node
	}
	left := c.ledger.LeaveWhere(uid, gone, node, c.bootID(ctx, node), c.now())
	if len(left) == 0 {
		return
	}
	f := rowFields(left)
	f.Node, f.Detail = node, why
	c.rec.Log(record.PodLeft, f)
	for _, r := range left {
		if !c.ledger.DropUnsent(r.GUID) {
			c.enqueueClaims(r)
			continue
		}
		c.freeUnsent(r)
	}
	c.freeEntries(uid)
}

// freeUnsent frees the GUID of a row that never left this process: UFM cannot know it.
func (c *Controller) freeUnsent(r ledger.Row) {
	defer c.leftBy(r)
	if err := errors.Join(c.pool.Release(r.GUID, r.Owner()), c.unclaimed.letGo(c.pool, r.GUID)); err != nil {
		c.rec.Log(record.WorkFailed, record.Fields{Pod: r.Pod, GUIDs: []guid.GUID{r.GUID}, Err: err})
	}
}

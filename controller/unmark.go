package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
)

// errUnmarked is for the owner of a pod whose word was taken back.
var errUnmarked = errors.New(`the pod says itself that it is configured, which is taken back: leave "mellanox.infiniband.app" out, the controller alone writes it, when UFM holds the pod's GUIDs`)

// mayBeMarked reports whether an element says "configured" by right, as far as is known: a
// tenant can write it too, and the CNI believes it (rule 3). By right it is there only of
// an interface that has a row, and of a pod that was let go on; what a former leader or
// ib-kubernetes let go on is the ledger's to know.
func (c *Controller) mayBeMarked(pod *corev1.Pod, e attach.Element) bool {
	has := slices.ContainsFunc(c.rowsOf(pod), func(r ledger.Row) bool { return r.Interface == e.Interface })
	return has && !c.patched.waits(pod.UID)
}

// judgesMarks reports whether a pod's word can still be taken back: its CNI may not have
// read it, and it will.
func (c *Controller) judgesMarks(pod *corev1.Pod) bool {
	return c.cfg.Policy != DryRun && !pod.Spec.HostNetwork && pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodRunning
}

// takeBack takes the word "configured" out of elements that have it by no right. The pod
// gets on when the watch shows it without.
func (c *Controller) takeBack(ctx context.Context, pod *corev1.Pod, marked []int) error {
	old := pod.Annotations[attach.NetworksAnnotation]
	text, err := attach.Unmark(pod.Namespace, old, marked)
	if err != nil {
		return fmt.Errorf("take back what pod %s says of itself: %w", keyOf(pod), err)
	}
	const noGate = -1
	version, err := c.patch(ctx, pod, old, text, noGate)
	if err != nil || version == "" {
		return err
	}
	c.tell(pod, record.PodUnmarked, record.Fields{Err: errUnmarked})
	return nil
}

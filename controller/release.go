package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// errStale says that a pod changed under our patch: it comes again with its backoff, by
// when the watch has told.
var errStale = errors.New("the pod changed meanwhile")

// release lets a pod go on whose memberships all stand in UFM: one patch writes GUIDs
// and PKeys, says "configured", and takes our gate away. Where another fabric has a word to
// say first, the gate stays: two that wait for each other both give their word.
func (c *Controller) release(ctx context.Context, pod *corev1.Pod, asks wishes, rows []ledger.Row) error {
	gate, wanted := gateIndex(pod, c.cfg.Gate()), asks.ours
	if c.cfg.Policy == DryRun || pod.DeletionTimestamp != nil || c.patched.isAhead(pod) {
		return nil
	}
	if asks.unjudged.Name != "" {
		gate = -1
		c.tellUnjudged(pod, asks.unjudged)
	}
	if gate < 0 && (saysSo(wanted, rows) || pod.Status.Phase == corev1.PodRunning) {
		c.settled(pod, pod.ResourceVersion)
		return nil // a running pod has been through the CNI: KubeVirt may have its annotation
	}
	old := pod.Annotations[attach.NetworksAnnotation]
	text, err := attach.Edit(pod.Namespace, old, writes(wanted, rows))
	if err != nil {
		c.tell(pod, record.PodRefused, record.Fields{Err: err})
		return nil
	}
	var placed []op
	if gate >= 0 {
		var waits bool
		if placed, waits, err = c.place(ctx, pod, rows); err != nil || waits {
			return err
		}
	}
	c.patched.sending(pod.UID)
	version, err := c.patch(ctx, pod, old, text, gate, placed...)
	if isRefusal(err) {
		c.patched.refused(pod.UID)
		c.staysGated(pod.UID, gate)
	}
	if err != nil || version == "" {
		return err
	}
	f := podFields(pod, rows)
	if first := c.settled(pod, version); !first.IsZero() {
		f.Took = c.now().Sub(first)
	}
	if asks.unjudged.Name == "" {
		c.notes.forget(string(pod.UID))
	}
	if text != old {
		c.rec.Log(record.PodConfigured, f)
	}
	return nil
}

// openGate lets a pod go on that came with our gate and names no InfiniBand network any
// more: a NAD was edited behind admission, or the annotation. What it had before is on its
// way out, or stays in the ledger until the pod ends; no container of it will use that.
func (c *Controller) openGate(ctx context.Context, pod *corev1.Pod) error {
	gate := gateIndex(pod, c.cfg.Gate())
	if gate < 0 || c.cfg.Policy == DryRun || pod.DeletionTimestamp != nil || c.patched.isAhead(pod) {
		return nil
	}
	version, err := c.patchPod(ctx, pod, []op{{"test", "/metadata/uid", pod.UID}, gateTest(gate, c.cfg.Gate()), gateRemoval(gate)})
	if err != nil || version == "" {
		return err
	}
	c.patched.set(pod.UID, version)
	c.tell(pod, record.PodIgnored, record.Fields{Detail: "none of its networks is InfiniBand any more: it goes on without a GUID, and the gate is lifted"})
	return nil
}

// patch writes a pod's networks annotation anew and takes our gate away, if gate is where
// it stands, with whatever else is to come with it. It returns the version that the pod
// became, "" of one that is gone.
func (c *Controller) patch(ctx context.Context, pod *corev1.Pod, old, text string, gate int, placed ...op) (version string, err error) {
	version, err = c.patchPod(ctx, pod, append(placed, patchOps(pod, old, text, gate, c.cfg.Gate())...))
	if isRefusal(err) && !isDenied(err) {
		return "", c.patchRefused(ctx, pod, old, err)
	}
	return version, err
}

// patchPod sends a patch, "" of a pod that is gone.
func (c *Controller) patchPod(ctx context.Context, pod *corev1.Pod, ops []op) (version string, err error) {
	if err := c.leading(); err != nil {
		return "", err
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return "", fmt.Errorf("patch of pod %s: %w", keyOf(pod), err)
	}
	var after corev1.Pod
	after.Namespace, after.Name = pod.Namespace, pod.Name
	err = c.client.Patch(ctx, &after, client.RawPatch(types.JSONPatchType, patch))
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		err = fmt.Errorf("patch pod %s: %w", keyOf(pod), err)
		if isDenied(err) {
			c.tell(pod, record.PodWaiting, record.Fields{Err: err})
		}
		return "", err
	}
	return after.ResourceVersion, nil
}

// isRefusal reports whether the API server will not have a patch: it is certain that
// nothing came of it.
func isRefusal(err error) bool {
	return errors.Is(err, errStale) || apierrors.IsInvalid(err) || apierrors.IsConflict(err) || isDenied(err)
}

// isDenied reports whether somebody who has a say at the API server will not have a write: a
// role, a policy, or a webhook that says no or does not answer. It is tried again, and
// succeeds when a person has put that right.
func isDenied(err error) bool {
	webhook := apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
	return apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err) || webhook
}

// settled notes that a pod has all it waited for, as of a version of it, and says since
// when it waited.
func (c *Controller) settled(pod *corev1.Pod, version string) (since time.Time) {
	c.patched.set(pod.UID, version)
	c.reasons.forget(keyOf(pod), func(uid types.UID) bool { return uid == pod.UID })
	return c.pending.forget(keyOf(pod))
}

// patchRefused tells a pod that changed meanwhile, which is read again, from one that
// the API server will not have like this.
func (c *Controller) patchRefused(ctx context.Context, pod *corev1.Pod, old string, refusal error) error {
	var now corev1.Pod
	err := c.client.Get(ctx, client.ObjectKeyFromObject(pod), &now)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read pod %s again: %w", keyOf(pod), err)
	}
	if now.UID == pod.UID && now.ResourceVersion == pod.ResourceVersion && now.Annotations[attach.NetworksAnnotation] == old {
		c.tell(pod, record.PodRefused, record.Fields{Err: refusal})
		return refusal
	}
	return errStale
}

// op is one operation of a JSON patch (RFC 6902).
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patchOps are the change of a pod, under the condition that it is still the pod we
// read: the same one, with the same annotation, and our gate at its place.
func patchOps(pod *corev1.Pod, old, text string, gate int, gateName string) []op {
	const path = "/metadata/annotations/k8s.v1.cni.cncf.io~1networks"
	ops := []op{
		{"test", "/metadata/uid", pod.UID},
		{"test", path, old},
		{"replace", path, text},
	}
	if gate >= 0 {
		ops = append(ops, gateTest(gate, gateName), gateRemoval(gate))
	}
	return ops
}

func gatePath(gate int) string { return fmt.Sprintf("/spec/schedulingGates/%d", gate) }

func gateTest(gate int, name string) op { return op{"test", gatePath(gate) + "/name", name} }

func gateRemoval(gate int) op { return op{"remove", gatePath(gate), nil} }

func gateIndex(pod *corev1.Pod, name string) int {
	for i, g := range pod.Spec.SchedulingGates {
		if g.Name == name {
			return i
		}
	}
	return -1
}

// saysSo reports whether the pod's annotation is as release would write it.
func saysSo(wanted []want, rows []ledger.Row) bool {
	for i, w := range wanted {
		if !w.Configured || w.GUID != rows[i].GUID || !recorded(w.Recorded, rows[i].Claims) {
			return false
		}
	}
	return true
}

// recorded reports whether an element says which partitions its GUID is in. ib-kubernetes
// v1.1.1 leaves out the one there is, and its CNI asks for none.
func recorded(said, claims []attach.Claim) bool {
	if len(said) == 0 && len(claims) == 1 {
		return claims[0].Mode == pkey.Mode{Membership: pkey.Full, Index0: true}
	}
	return sameClaims(said, claims)
}

func writes(wanted []want, rows []ledger.Row) []attach.Write {
	list := make([]attach.Write, len(wanted))
	for i, w := range wanted {
		list[i] = attach.Write{Index: w.Index, GUID: rows[i].GUID, Field: w.net.GUIDField, Claims: rows[i].Claims}
	}
	return list
}

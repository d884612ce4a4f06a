package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
)

// errStale says that a pod changed under our patch: it comes again with its backoff, by
// when the watch has told.
var errStale = errors.New("the pod changed meanwhile")

// release lets a pod go on whose memberships all stand in UFM: one patch writes GUIDs
// and PKeys, says "configured", and takes our gate away.
func (c *Controller) release(ctx context.Context, pod *corev1.Pod, wanted []want, rows []ledger.Row) (time.Duration, error) {
	gate := gateIndex(pod, c.cfg.gate())
	if c.cfg.Policy == DryRun || pod.DeletionTimestamp != nil || c.patched.isAhead(pod) {
		return 0, nil
	}
	if gate < 0 && (saysSo(wanted, rows) || pod.Status.Phase == corev1.PodRunning) {
		c.settled(pod, pod.ResourceVersion)
		return 0, nil // a running pod has been through the CNI: KubeVirt may have its annotation
	}
	old := pod.Annotations[attach.NetworksAnnotation]
	text, err := attach.Edit(pod.Namespace, old, writes(wanted, rows))
	if err != nil {
		c.tell(pod, record.PodRefused, record.Fields{Err: err})
		return 0, nil
	}
	if err := c.leading(); err != nil {
		return 0, err
	}
	patch, err := json.Marshal(patchOps(pod, old, text, gate, c.cfg.gate()))
	if err != nil {
		return 0, fmt.Errorf("patch of pod %s: %w", keyOf(pod), err)
	}
	var after corev1.Pod
	after.Namespace, after.Name = pod.Namespace, pod.Name
	err = c.client.Patch(ctx, &after, client.RawPatch(types.JSONPatchType, patch))
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case apierrors.IsInvalid(err), apierrors.IsConflict(err):
		return c.patchRefused(ctx, pod, old, err)
	case err != nil:
		return 0, fmt.Errorf("patch pod %s: %w", keyOf(pod), err)
	}
	f := podFields(pod, rows)
	if first := c.settled(pod, after.ResourceVersion); !first.IsZero() {
		f.Took = c.now().Sub(first)
	}
	c.notes.forget(string(pod.UID))
	c.rec.Log(record.PodConfigured, f)
	return 0, nil
}

// settled notes that a pod has all it waited for, as of a version of it, and says since
// when it waited.
func (c *Controller) settled(pod *corev1.Pod, version string) (since time.Time) {
	c.patched.set(pod.UID, version)
	return c.pending.forget(keyOf(pod))
}

// patchRefused tells a pod that changed meanwhile, which is read again, from one that
// the API server will not have like this.
func (c *Controller) patchRefused(ctx context.Context, pod *corev1.Pod, old string, refusal error) (time.Duration, error) {
	var now corev1.Pod
	err := c.client.Get(ctx, client.ObjectKeyFromObject(pod), &now)
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read pod %s again: %w", keyOf(pod), err)
	}
	if now.UID == pod.UID && now.ResourceVersion == pod.ResourceVersion && now.Annotations[attach.NetworksAnnotation] == old {
		c.tell(pod, record.PodRefused, record.Fields{Err: refusal})
		return 0, fmt.Errorf("patch pod %s: %w", keyOf(pod), refusal)
	}
	return 0, errStale
}

// op is one operation of a JSON patch (RFC 6902).
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patchOps are the release of a pod, under the condition that it is still the pod we
// read: the same one, with the same annotation, and our gate at its place.
func patchOps(pod *corev1.Pod, old, text string, gate int, gateName string) []op {
	const path = "/metadata/annotations/k8s.v1.cni.cncf.io~1networks"
	ops := []op{
		{"test", "/metadata/uid", pod.UID},
		{"test", path, old},
		{"replace", path, text},
	}
	if gate >= 0 {
		at := fmt.Sprintf("/spec/schedulingGates/%d", gate)
		ops = append(ops, op{"test", at + "/name", gateName}, op{"remove", at, nil})
	}
	return ops
}

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
		if !w.Configured || w.GUID != rows[i].GUID || !sameClaims(w.Recorded, rows[i].Claims) {
			return false
		}
	}
	return true
}

func writes(wanted []want, rows []ledger.Row) []attach.Write {
	list := make([]attach.Write, len(wanted))
	for i, w := range wanted {
		list[i] = attach.Write{Index: w.Index, GUID: rows[i].GUID, Field: w.net.GUIDField, Claims: rows[i].Claims}
	}
	return list
}

// isAhead reports whether the cache has not caught up with our last patch of a pod:
// what it shows would be patched a second time.
func (p *patchedPods) isAhead(pod *corev1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	version, ok := p.versions[pod.UID]
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(pod.ResourceVersion, version)
	return err == nil && order < 0
}

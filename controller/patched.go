package controller

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// patchedPods know how far this leader has come with a pod. Of what a former leader did
// they know nothing.
type patchedPods struct {
	mu    sync.Mutex           // protects both
	begun map[types.UID]bool   // pods whose first rows this leader made
	sent  map[types.UID]string // pods that were sent their release, and the version they became
}

func newPatchedPods() *patchedPods {
	return &patchedPods{begun: map[types.UID]bool{}, sent: map[types.UID]string{}}
}

// unsure stands for the version of a pod whose release was sent and not answered.
const unsure = ""

// begin notes that a pod gets its first rows.
func (p *patchedPods) begin(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun[uid] = true
}

// sending notes that a pod may go on from now, whatever is heard of its patch.
func (p *patchedPods) sending(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.sent[uid]; !ok {
		p.sent[uid] = unsure
	}
}

// refused notes that the API server would not have the patch.
func (p *patchedPods) refused(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent[uid] == unsure {
		delete(p.sent, uid)
	}
}

// set notes that a pod has gone on, and what it became.
func (p *patchedPods) set(uid types.UID, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[uid] = version
}

// known reports whether a pod was let go on by this leader, or may have been.
func (p *patchedPods) known(uid types.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.sent[uid]
	return ok
}

// waits reports whether a pod is this leader's from its first row on, and was not sent
// its release: nobody has ever let it go on.
func (p *patchedPods) waits(uid types.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, sent := p.sent[uid]
	return p.begun[uid] && !sent
}

// neverWentOn reports whether no container of a pod can have what its rows say. Where it
// is not known whether a patch came in, a pod without a node has not used it yet, and what
// it will use is what its annotation says now.
func (p *patchedPods) neverWentOn(pod *corev1.Pod, gated bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	version, sent := p.sent[pod.UID]
	switch {
	case pod.Status.Phase == corev1.PodRunning, pod.DeletionTimestamp != nil, version != unsure:
		return false
	case gated:
		return true
	}
	return p.begun[pod.UID] && (!sent || pod.Spec.NodeName == "")
}

// isAhead reports whether the cache has not caught up with our last patch of a pod:
// what it shows would be patched a second time.
func (p *patchedPods) isAhead(pod *corev1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	version := p.sent[pod.UID]
	if version == unsure {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(pod.ResourceVersion, version)
	return err == nil && order < 0
}

func (p *patchedPods) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.begun, uid)
	delete(p.sent, uid)
}

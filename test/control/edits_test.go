package control

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/rig"
)

// pinned names a network and asks for a GUID by value.
func pinned(ns, network, g string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(`[{"name":%q,"namespace":%q,"infiniband-guid":%q}]`, network, ns, g)}
	}
}

// written is what ib-kubernetes leaves in a pod that it configured.
func written(ns, network string, g guid.GUID, p string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(
			`[{"name":%q,"namespace":%q,"cni-args":{"guid":%q,"mellanox.infiniband.app":"configured","pkey":%q}}]`, network, ns, g, p)}
	}
}

func gated(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, name := range names {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
		}
	}
}

func (w *world) phase(name string, phase corev1.PodPhase) {
	w.t.Helper()
	if err := rig.EditStatus(w.ctx(), w.api, w.get(name), func(p *corev1.Pod) { p.Status.Phase = phase }); err != nil {
		w.t.Fatal(err)
	}
}

// edit changes a pod, as its owner would.
func (w *world) edit(name string, change func(*corev1.Pod)) {
	w.t.Helper()
	if err := rig.Edit(w.ctx(), w.api, w.get(name), change); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unfinalize(name string) {
	w.t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := w.api.Patch(w.ctx(), w.get(name), patch); err != nil {
		w.t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	if err := client.IgnoreNotFound(w.api.Delete(w.ctx(), pod, client.GracePeriodSeconds(0))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) nodeStatus(boot string, ready corev1.ConditionStatus) {
	w.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	err := rig.EditStatus(w.ctx(), w.api, node, func(n *corev1.Node) {
		n.Status.NodeInfo.BootID = boot
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

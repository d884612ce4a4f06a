package control

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
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
	pod := w.get(name)
	pod.Status.Phase = phase
	if err := w.api.Status().Update(w.ctx(), pod); err != nil {
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
	var node corev1.Node
	if err := w.api.Get(w.ctx(), client.ObjectKey{Name: w.ns}, &node); err != nil {
		w.t.Fatal(err)
	}
	node.Status.NodeInfo.BootID = boot
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
	if err := w.api.Status().Update(w.ctx(), &node); err != nil {
		w.t.Fatal(err)
	}
}

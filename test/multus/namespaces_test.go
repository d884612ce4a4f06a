package multus

import (
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// annotate sets annotations of the test's namespace; nil takes one away.
func (w *world) annotate(annotations map[string]any) {
	w.t.Helper()
	w.patch(map[string]any{"annotations": annotations})
}

func (w *world) patch(metadata map[string]any) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		w.t.Fatal(err)
	}
	ns := &corev1.Namespace{}
	ns.Name = w.ns
	if err := w.api.Patch(w.t.Context(), ns, client.RawPatch(types.MergePatchType, patch)); err != nil {
		w.t.Fatal(err)
	}
}

// injects waits until the webhook's label is there, or not.
func (w *world) injects(want bool) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("label %s is there: %t", multus.InjectLabel, want), func() (bool, string) {
		var ns corev1.Namespace
		if err := w.api.Get(w.t.Context(), types.NamespacedName{Name: w.ns}, &ns); err != nil {
			return false, err.Error()
		}
		return (ns.Labels[multus.InjectLabel] == "true") == want, fmt.Sprint(ns.Labels)
	})
}

func TestANamespaceThatAsksHasTheLabelThatWebhooksChooseBy(t *testing.T) {
	w := newWorld(t)
	w.annotate(map[string]any{multus.RDMAInject: "gpu"})
	f := w.front()
	w.start(f.kubeconfig)
	w.injects(true)
	w.annotate(map[string]any{multus.RDMAInject: nil})
	w.injects(false)
	w.annotate(map[string]any{multus.NetworkInject: "storage"})
	w.injects(true)
	w.patch(map[string]any{"labels": map[string]any{multus.InjectLabel: nil}})
	w.injects(true)
	w.annotate(map[string]any{multus.NetworkInject: ""}) // in so many words: nothing
	w.injects(false)
	w.idle()
	// One a change; a second one, which changes nothing, where the watch was behind the first.
	if writes := f.of("/namespaces/" + w.ns); len(writes) < 5 || len(writes) > 10 {
		t.Errorf("%q", writes)
	}
}

func TestANamespaceThatIsNotServedHasNoLabelWhoeverPutItThere(t *testing.T) {
	w := newWorld(t)
	w.annotate(map[string]any{multus.RDMAInject: "gpu"})
	w.patch(map[string]any{"labels": map[string]any{multus.InjectLabel: "true"}})
	w.start("", "--inject-exclude-namespaces=kube-system,"+w.ns)
	w.injects(false)
}

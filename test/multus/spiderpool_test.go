package multus

import (
	"context"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/test/rig"
)

func labelled(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	labels := map[string]string{"app": name}
	return &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
}

// spiderpool asks for so many pods of Spiderpool's controller in the test's namespace, of
// which so many are ready. There is no controller-manager that would know better.
func (w *world) spiderpool(pods, ready int32) {
	w.t.Helper()
	rig.GrantAccount(w.t, w.rig.Bed, w.ns, "default", rig.SpiderpoolControllerRules())
	w.controllerIn(w.ns, pods, ready)
}

// controllerIn is what anybody can make who may make Deployments in a namespace.
func (w *world) controllerIn(ns string, pods, ready int32) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "spiderpool-controller"}}
	d.Spec.Selector, d.Spec.Template = labelled(d.Name)
	if err := w.api.Create(w.t.Context(), d); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	if err := w.api.Get(w.t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		w.t.Fatal(err)
	}
	d.Spec.Replicas = &pods
	if err := w.api.Update(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	d.Status.Replicas, d.Status.ReadyReplicas = pods, ready
	if err := w.api.Status().Update(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.api.Delete(context.Background(), d) }) // the second time there is none
}

// agent deploys Spiderpool's agent, which its plugins ask, and takes it away again.
func (w *world) agent() (remove func()) {
	w.t.Helper()
	rig.GrantAccount(w.t, w.rig.Bed, w.ns, "default", rig.SpiderpoolAgentRules())
	return w.agentIn(w.ns)
}

func (w *world) agentIn(ns string) (remove func()) {
	w.t.Helper()
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "spiderpool-agent"}}
	d.Spec.Selector, d.Spec.Template = labelled(d.Name)
	if err := w.api.Create(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	remove = func() { _ = w.api.Delete(context.Background(), d) } // the second time there is none
	w.t.Cleanup(remove)
	return remove
}

// What Spiderpool itself makes of the config below: labels are not carried over, what
// kubectl applied is.
const (
	pools   = `{cniType: ib-sriov, enableCoordinator: true, ibsriov: {resourceName: a/b, pkey: "0x1000", enableIbKubernetes: true, ippools: {ipv4: [gpu1]}}}`
	itsText = `{"plugins":[{"type":"ib-sriov","pkey":"0x1000","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true,"ipam":{"default_ipv4_ippool":["gpu1"],"type":"spiderpool"}},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}],"cniVersion":"0.3.1","name":"rail"}`
)

func (w *world) bySpiderpool(name string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	u := w.config(name, pools, "cni.spidernet.io/rdma-resource-inject", "gpu")
	label := func(u *unstructured.Unstructured) { // as its webhook does
		u.SetLabels(map[string]string{"cni.spidernet.io/rdma-resource-inject": "gpu"})
	}
	if err := rig.Edit(w.t.Context(), w.api, u, label); err != nil {
		w.t.Fatal(err)
	}
	yes := true
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.ns, Name: name,
		Annotations: map[string]string{
			"cni.spidernet.io/rdma-resource-inject":            "gpu",
			"k8s.v1.cni.cncf.io/resourceName":                  "a/b",
			"kubectl.kubernetes.io/last-applied-configuration": "{}",
		},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: multus.APIVersion, Kind: multus.Kind, Name: name, UID: u.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes}},
	}}
	nad.Spec.Config = itsText
	if err := w.api.Create(w.t.Context(), nad); err != nil {
		w.t.Fatal(err)
	}
	return nad
}

func TestWhereSpiderpoolsControllerRunsItsNetworksAreItsOwn(t *testing.T) {
	w := newWorld(t)
	w.agent()
	w.spiderpool(2, 2)
	made := w.bySpiderpool("rail")
	f := w.front()
	w.start(f.kubeconfig, "--multus-configs=auto")
	w.logged("spiderpool.found", 1)
	w.config("later", pools)
	w.idle()
	w.spiderpool(1, 1) // it is still there: nothing to say
	w.idle()
	w.spiderpool(1, 0) // and so it is while its pod moves to another node
	w.idle()
	if n := len(w.lines("spiderpool.found")); n != 1 {
		t.Errorf("said %d times", n)
	}
	if writes := f.of(""); len(writes) > 0 || w.nad("later") != nil {
		t.Errorf("it did not stand back: %q", writes)
	}

	w.spiderpool(0, 0)
	w.logged("spiderpool.gone", 1)
	w.becomes("later", `"type":"coordinator"`)
	if now := w.nad("rail"); now.ResourceVersion != made.ResourceVersion {
		t.Errorf("a network that was as it should be was changed:\n%+v\n%+v", made, now)
	}
	if writes := f.of("network-attachment-definitions"); len(writes) != 1 {
		t.Errorf("it took over with %q", writes)
	}

	w.spiderpool(1, 1)
	w.logged("spiderpool.found", 2)
	w.edit("later", func(n *nadv1.NetworkAttachmentDefinition) { n.Spec.Config = `{"type":"ib-sriov"}` })
	w.idle()
	if writes := f.of("network-attachment-definitions"); len(writes) != 1 {
		t.Errorf("it did not stop: %q", writes)
	}
}

func TestWithoutSpiderpoolsAgentNothingMayNeedItAndNetworksStay(t *testing.T) {
	w := newWorld(t)
	remove := w.agent()
	made := w.bySpiderpool("rail")
	w.start("")
	w.config("plain", `{cniType: sriov, ipam: {type: nv-ipam, poolName: gpu1}, sriov: {resourceName: a/b}}`)
	w.becomes("plain", `{"poolName":"gpu1","type":"nv-ipam"}},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}]`)
	remove()
	w.told("rail", "NetworkRefused", "spec.enableCoordinator", "write enableCoordinator: false", "spec.ibsriov.ippools", "until then network rail stays as it was made before")
	nad := w.becomes("plain", `"type":"nv-ipam"}}]`)
	if strings.Contains(nad.Spec.Config, "coordinator") {
		t.Error(nad.Spec.Config)
	}
	if now := w.nad("rail"); now.ResourceVersion != made.ResourceVersion {
		t.Errorf("it was changed: %+v", now)
	}
}

// A tenant may make Deployments and DaemonSets of any name, and must not by that turn off
// the making of networks, or have a plugin put into them that no node has.
func TestATenantsPodsThatAreCalledLikeSpiderpoolChangeNothing(t *testing.T) {
	w := newWorld(t)
	before, while := w.rig.Bed.Namespace(t), w.rig.Bed.Namespace(t)
	w.controllerIn(before, 1, 1)
	w.start("")
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	w.agentIn(while)
	w.controllerIn(while, 1, 1)
	w.logged("namesake.found", 3)
	w.config("rail", strings.Replace(rail, "0x1000", "0x2000", 1))
	if nad := w.becomes("rail", "0x2000"); strings.Contains(nad.Spec.Config, "coordinator") {
		t.Error(nad.Spec.Config)
	}
	if n := len(w.lines("spiderpool.found")); n > 0 {
		t.Errorf("it stood back: %v", w.lines("spiderpool.found"))
	}
	w.idle()
	if n := len(w.lines("namesake.found")); n != 3 {
		t.Errorf("three that are not taken for Spiderpool were said %d times", n)
	}
	w.spiderpool(1, 1) // in an odd namespace, and with its rights
	w.logged("spiderpool.found", 1)
}

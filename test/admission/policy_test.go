package admission

import (
	"fmt"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/admission"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const anew = "delete the pod, and make it anew"

// rewritten is a pod whose networks say something else.
func rewritten(pod *corev1.Pod, networks string) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.ResourceVersion = "" // whatever else happened to it
	pod.Annotations[attach.NetworksAnnotation] = networks
	return pod
}

func TestNobodyButTheControllerWritesWhatAPodSaysOfItsFabric(t *testing.T) {
	w := newWorldWithARail(t)
	w.pod("train", "rail1")
	g := w.configured("train")[0]
	w.running("train")
	stolen := fmt.Sprintf(`[{"name":"rail1","cni-args":{"guid":"%s","mellanox.infiniband.app":"configured"}}]`, g+1)
	for name, who := range map[string]client.Client{"a tenant": w.as("tenant"), "an administrator": w.api} {
		t.Run(name, func(t *testing.T) {
			pod := w.get("train")
			pod.ResourceVersion = "" // kwok may not be done with it
			refused(t, who.Update(w.ctx(), rewritten(pod, stolen)), anew)
			refused(t, who.Status().Update(w.ctx(), rewritten(pod, stolen)), anew)
			refused(t, who.Update(w.ctx(), rewritten(pod, "rail1")), anew)
			gone := pod.DeepCopy()
			delete(gone.Annotations, attach.NetworksAnnotation)
			refused(t, who.Update(w.ctx(), gone), anew)
			unlabelled := pod.DeepCopy()
			delete(unlabelled.Labels, admission.ManagedLabel)
			refused(t, who.Update(w.ctx(), unlabelled), "the label ibfabric.io/managed is ibfabric's")
			refused(t, who.Status().Update(w.ctx(), unlabelled), "the label ibfabric.io/managed is ibfabric's")
		})
	}
	if now := w.configured("train")[0]; now != g {
		t.Errorf("the pod has %s, and had %s", now, g)
	}
}

func TestMultusTheNodeAndOwnersWriteWhatIsTheirs(t *testing.T) {
	w := newWorldWithARail(t)
	w.pod("train", "rail1")
	w.configured("train")
	w.running("train") // by kwok, which patches the status as a kubelet does
	multus := w.as("system:serviceaccount:kube-system:multus")
	status := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"k8s.v1.cni.cncf.io/network-status":"[{\"name\":\"rail1\"}]"}}}`))
	if err := multus.Status().Patch(w.ctx(), w.get("train"), status); err != nil {
		t.Errorf("Multus: %v", err)
	}
	note := func(p *corev1.Pod) { p.Labels["job"], p.Annotations["note"] = "llm", "mine" }
	if err := rig.Edit(w.ctx(), w.as("tenant"), w.get("train"), note); err != nil {
		t.Errorf("an owner's label and annotation: %v", err)
	}
}

func TestTheGateIsTheControllersToLift(t *testing.T) {
	w := newWorldWithARail(t)
	letGo := w.holdUFM()
	pod := w.pod("train", "rail1")
	ungate := func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }
	refused(t, rig.Edit(w.ctx(), w.as("tenant"), pod, ungate), "the scheduling gate of ibfabric is lifted by its controller")
	letGo()
	w.configured("train")
	w.running("train")
}

func TestAPodCannotTakeAPlaceThatItWasNotGiven(t *testing.T) {
	w := newWorldWithARail(t)
	w.pod("victim", "rail1")
	g := w.configured("victim")[0].String()
	onNode := func(p *corev1.Pod) { p.Spec.NodeName = "node-0" }
	marked := fmt.Sprintf(`[{"name":"rail1","cni-args":{"guid":%q,"mellanox.infiniband.app":"configured","pkey":"0x5"}}]`, g)
	hidden := `[{"name":"rail1","cni-args":{"mellanox.infin\u0069band.app":"configured"}}]`
	tenant := w.as("tenant")
	for name, pod := range map[string]*corev1.Pod{
		"configured":        w.draft("thief", marked, onNode),
		"a guid":            w.draft("thief", pinned("rail1", g), onNode),
		"a guid on a host":  w.draft("thief", pinned("rail1", g), func(p *corev1.Pod) { p.Spec.HostNetwork = true }),
		"in cni-args":       w.draft("thief", fmt.Sprintf(`[{"name":"rail1","cni-args":{"guid" : %q}}]`, g), onNode),
		"in another case":   w.draft("thief", fmt.Sprintf(`[{"name":"rail1","InfiniBand-GUID":%q}]`, g), onNode),
		"in other letters":  w.draft("thief", hidden, onNode),
		"before it is made": w.draft("thief", pinned("not-yet", g)),
	} {
		t.Run(name, func(t *testing.T) { refused(t, tenant.Create(w.ctx(), pod), "must wait at ibfabric's scheduling gate") })
	}
	t.Run("behind eth0", func(t *testing.T) {
		pod := w.draft("thief", "")
		pod.Annotations = map[string]string{"v1.multus-cni.io/default-network": marked}
		refused(t, tenant.Create(w.ctx(), pod), "gives no GUID")
	})
	t.Run("later", func(t *testing.T) {
		w.pod("early", "not-yet", out)
		pod := w.get("early")
		refused(t, tenant.Update(w.ctx(), rewritten(pod, marked)), anew)
		refused(t, tenant.Update(w.ctx(), rewritten(pod, hidden)), anew)
		refused(t, tenant.Status().Update(w.ctx(), rewritten(pod, pinned("rail1", g))), anew)
		if err := tenant.Update(w.ctx(), rewritten(pod, "not-yet,other")); err != nil {
			t.Errorf("what is nobody's yet: %v", err)
		}
	})
	t.Run("by a binding", func(t *testing.T) {
		pod := w.pod("bound", "", out)
		binding := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: pod.Name, Annotations: map[string]string{attach.NetworksAnnotation: marked}},
			Target:     corev1.ObjectReference{Kind: "Node", Name: "node-0"},
		}
		refused(t, tenant.SubResource("binding").Create(w.ctx(), pod, binding), "a Binding may not change a pod's networks")
	})
	t.Run("at the gate it is judged", func(t *testing.T) {
		w.wantGate(w.pod("waits", marked))
	})
}

// Volcano and its like send the annotations of a pod along when they bind it.
func TestASchedulerThatIsNamedMaySendAPodsNetworksAlong(t *testing.T) {
	w := newWorldWithARail(t)
	const volcano = "system:serviceaccount:volcano-system:volcano-scheduler"
	byVolcano := func(p *corev1.Pod) { p.Spec.SchedulerName = "volcano" }
	bind := func(name string) error {
		w.configured(name)
		pod := w.get(name)
		return w.as(volcano).SubResource("binding").Create(w.ctx(), pod, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, UID: pod.UID, Annotations: pod.Annotations},
			Target:     corev1.ObjectReference{Kind: "Node", Name: "node-0"},
		})
	}
	w.pod("train", "rail1", byVolcano)
	refused(t, bind("train"), "belongs into schedulers of the policy ibfabric-bindings")

	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "ibfabric-bindings"}}
	err := rig.Edit(w.ctx(), w.api, policy, func(p *admissionregistrationv1.ValidatingAdmissionPolicy) {
		p.Spec.Variables[0].Expression = "['" + volcano + "']" // the cluster says in its status what it thinks of it
	})
	if err != nil {
		t.Fatal(err)
	}
	before := w.configured("train")
	testbed.Eventually(t, "the scheduler binds the pod", func() (bool, string) {
		err := bind("train")
		return err == nil, fmt.Sprint(err)
	})
	w.running("train")
	if after := w.configured("train"); !slices.Equal(after, before) {
		t.Errorf("it had %v and has %v", before, after)
	}
}

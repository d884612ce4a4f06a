package admission

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const kueue = "kueue.x-k8s.io/admission"

func gatedBy(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, name := range names {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
		}
	}
}

// out keeps a pod out of the scheduler's hands. A real CNI lets no pod run before the
// controller's word; nodes that are played call none.
func out(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"there": "is-no-such-node"} }

// holdUFM lets UFM refuse additions until it is let go.
func (w *world) holdUFM() (letGo func()) {
	w.t.Helper()
	id, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd})
	if err != nil {
		w.t.Fatal(err)
	}
	return func() { w.sim.ClearFaults(id) }
}

func (w *world) rows() (n int) {
	w.t.Helper()
	var list v1alpha1.LedgerList
	if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	for _, l := range list.Items {
		n += len(l.Spec.Rows)
	}
	return n
}

func TestAPodWaitsAtTheGateUntilUFMHoldsItAndIsThenScheduled(t *testing.T) {
	w := newWorldWithARail(t)
	letGo := w.holdUFM()
	made := w.pod("train", "rail1")
	w.wantGate(made)
	testbed.Eventually(t, "the pod has its row", func() (bool, string) { return w.rows() == 1, "" })
	if pod := w.get("train"); !w.isGated(pod) || pod.Spec.NodeName != "" {
		t.Errorf("it went on before UFM held it: gates %v, node %q", pod.Spec.SchedulingGates, pod.Spec.NodeName)
	}
	letGo()
	w.inUFM(0x5, w.configured("train")...)
	w.running("train")
	if pod := w.get("train"); len(pod.Spec.SchedulingGates) > 0 {
		t.Errorf("gates still stand: %v", pod.Spec.SchedulingGates)
	}
}

func TestPodsThatCannotWaitAtTheGateOrNeedNotComeWithoutIt(t *testing.T) {
	w := newWorldWithARail(t)
	w.bridge()
	// Its kubelet is played by nobody, so that pods stay as they come.
	silent := func(n *corev1.Node) { n.Annotations, n.Labels["type"] = nil, "silent" }
	if err := w.bed.CreateNode(w.ctx(), "silent", silent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.api.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "silent"}})
	})
	w.wantFree(w.pod("plain", ""))
	w.wantFree(w.pod("on-a-bridge", "bridge"))
	w.wantFree(w.pod("too-early", "rail2"))
	w.wantFree(w.pod("on-a-node", "rail1", func(p *corev1.Pod) { p.Spec.NodeName = "silent" }))
	w.wantFree(w.pod("on-the-host", "rail1", func(p *corev1.Pod) { p.Spec.HostNetwork = true }))
	w.wantFree(w.pod("mirror", "rail1", func(p *corev1.Pod) {
		p.Annotations[corev1.MirrorPodAnnotationKey] = "mirrors need a node of their own"
		p.Spec.NodeName = "silent"
	}))
	w.wantGate(w.pod("early-and-late", "rail2,rail1"))
	// The net below: who came without the gate is served without it.
	w.inUFM(0x5, append(w.configured("on-a-node"), w.configured("mirror")...)...)
}

func TestNothingIsAllocatedWhileAnotherGateStands(t *testing.T) {
	w := newWorldWithARail(t)
	queued := w.pod("queued", "rail1", gatedBy(kueue))
	w.wantGate(queued)
	if gates := queued.Spec.SchedulingGates; len(gates) != 2 || gates[0].Name != kueue {
		t.Errorf("gates %v: ours comes behind those of others", gates)
	}
	w.pod("other", "rail1")
	other := w.configured("other")
	w.inUFM(0x5, other...)
	if n := w.rows(); n != 1 {
		t.Errorf("the ledger has %d rows, and one pod may have one", n)
	}
	// Kueue admits it: its own gate goes, which the policy has nothing against.
	w.admit("queued")
	w.inUFM(0x5, append(w.configured("queued"), other...)...)
	w.running("queued")
}

// admit takes Kueue's gate from a pod, as Kueue does. The controller may write the pod beside it.
func (w *world) admit(name string) {
	w.t.Helper()
	ungate := func(p *corev1.Pod) {
		p.Spec.SchedulingGates = slices.DeleteFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == kueue })
	}
	if err := rig.Edit(w.ctx(), w.as("kueue"), w.get(name), ungate); err != nil {
		w.t.Fatal(err)
	}
}

func TestWithTheControllerAwayNetworksAreRefusedAndPodsGoOn(t *testing.T) {
	w := newWorld(t)
	w.install()
	first := w.start()
	w.network("rail1", "0x5")
	leaving := w.nad("leaving", infiniBand("0x6"), nil)
	leaving.Finalizers = []string{"example.com/keep"}
	if err := w.api.Create(w.ctx(), leaving); err != nil {
		t.Fatal(err)
	}
	first.Kill()

	err := w.api.Create(w.ctx(), w.nad("rail2", infiniBand("0x6"), nil))
	if !apierrors.IsInternalError(err) {
		t.Errorf("a network while nobody can look at it: %v", err)
	}
	refused(t, err, "networks.ibfabric.io")
	if err := w.api.Delete(w.ctx(), leaving); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Get(w.ctx(), client.ObjectKeyFromObject(leaving), leaving); err != nil {
		t.Fatal(err)
	}
	leaving.Finalizers = nil
	if err := w.api.Update(w.ctx(), leaving); err != nil {
		t.Errorf("a network that goes does not ask: %v", err)
	}

	w.pod("plain", "")
	w.running("plain")
	w.wantFree(w.pod("ungated", "rail1", out))
	refused(t, w.api.Create(w.ctx(), w.draft("pinned", pinned("rail1", "02:00:00:00:00:00:00:09"))), "scheduling gate")

	w.startOn(w.port)
	w.inUFM(0x5, w.configured("ungated")...)
}

func TestADryRunGatesNobody(t *testing.T) {
	w := newWorld(t)
	w.install()
	first := w.start()
	w.network("rail1", "0x5")
	if err := first.Stop(programs.StopWithin); err != nil {
		t.Fatal(err)
	}
	w.startOn(w.port, "--sync-policy=dry-run")
	testbed.Eventually(t, "the webhooks answer again", func() (bool, string) {
		err := w.api.Create(w.ctx(), w.nad("probe", infiniBand("0x6"), nil), client.DryRunAll)
		return err == nil, ""
	})
	w.wantFree(w.pod("a", "rail1"))
}

// pinned is an annotation that asks for a GUID by value.
func pinned(network, guid string) string {
	return `[{"name":"` + network + `","infiniband-guid":"` + guid + `"}]`
}

// A pod that stands at the gate, and turns out to be on no InfiniBand at all, is nobody's.
func TestAPodWhoseNetworkTurnsOutToBeAnotherGoesOn(t *testing.T) {
	w := newWorldWithARail(t)
	letGo := w.holdUFM()
	defer letGo()
	w.pod("queued", "rail1", gatedBy(kueue)) // before it has a row
	bridge := func(n *nadv1.NetworkAttachmentDefinition) { n.Spec.Config = `{"type":"bridge"}` }
	if err := rig.Edit(w.ctx(), w.api, w.nad("rail1", "", nil), bridge); err != nil {
		t.Fatal(err)
	}
	// The webhook and the controller have one cache of networks, and another one of pods.
	testbed.Eventually(t, "the controller knows the bridge", func() (bool, string) {
		probe := w.draft("probe", "rail1")
		err := w.api.Create(w.ctx(), probe, client.DryRunAll)
		return err == nil && !w.isGated(probe), fmt.Sprint(err)
	})
	w.admit("queued")
	w.running("queued")
}

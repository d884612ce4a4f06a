package admission

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// twoFabrics are a compute and a storage fabric on one cluster, each with its controller and
// webhooks, and with a network named rail1 of PKey 0x5.
func twoFabrics(t *testing.T) (compute, storage *world) {
	t.Helper()
	compute = newWorldWithARail(t)
	storage = newWorld(t)
	storage.first = compute
	storage.install()
	storage.start("--multus-configs=off")
	storage.network("rail1", "0x5")
	testbed.Eventually(t, "the first fabric's webhook knows whose the other network is", func() (bool, string) {
		on := fmt.Sprintf(`[{"name":"rail1"},{"name":"rail1","namespace":"%s","infiniband-guid":"02:00:00:00:00:00:00:01"}]`, storage.ns)
		err := compute.api.Create(compute.ctx(), compute.draft("probe", on), client.DryRunAll)
		return err == nil, fmt.Sprint(err)
	})
	return compute, storage
}

// A pod on two fabrics may name its GUIDs on both: each controller judges its own, and
// neither lets the pod go on what the other has not looked at.
func TestAPodNamesGUIDsOnTheNetworksOfTwoFabrics(t *testing.T) {
	compute, storage := twoFabrics(t)
	const one, two, three = guid.GUID(0x0200_0000_0000_1001), guid.GUID(0x0200_0000_0000_2002), guid.GUID(0x0200_0000_0000_1003)
	on := func(g guid.GUID, storageSays string) string {
		return fmt.Sprintf(`[{"name":"rail1","cni-args":{"guid":"%s"}},{"name":"rail1","namespace":"%s"%s}]`, g, storage.ns, storageSays)
	}

	t.Run("on both", func(t *testing.T) {
		pod := compute.pod("both", on(one, fmt.Sprintf(`,"cni-args":{"guid":"%s"}`, two)))
		if gates := fmt.Sprint(pod.Spec.SchedulingGates); !strings.Contains(gates, compute.gate()) || !strings.Contains(gates, storage.gate()) {
			t.Errorf("it came with gates %s", gates)
		}
		compute.running("both")
		if got := compute.configured("both"); len(got) != 2 || got[0] != one || got[1] != two {
			t.Errorf("it runs with %v", got)
		}
		compute.inUFM(5, one)
		storage.inUFM(5, two)
	})
	t.Run("on one of them", func(t *testing.T) {
		compute.pod("one", on(three, ""))
		compute.running("one")
		if got := compute.configured("one"); len(got) != 2 || got[0] != three || got[1] == two {
			t.Errorf("it runs with %v", got)
		}
	})
	t.Run("one that is another pod's", func(t *testing.T) {
		storage.pod("owner", "rail1")
		taken := storage.configured("owner")[0]
		compute.pod("thief", fmt.Sprintf(`[{"name":"rail1"},{"name":"rail1","namespace":"%s","cni-args":{"guid":"%s"}}]`, storage.ns, taken))
		compute.toldPod("thief", anotherPods)
		compute.toldPod("thief", anothersFirst)
		if gates := fmt.Sprint(compute.get("thief").Spec.SchedulingGates); !strings.Contains(gates, storage.gate()) || !strings.Contains(gates, compute.gate()) {
			t.Errorf("of its gates stand %s", gates)
		}
	})
}

// toldPod waits for an Event about a pod that says something.
func (w *world) toldPod(name, says string) {
	w.t.Helper()
	testbed.Eventually(w.t, "pod "+name+" is told "+says, func() (bool, string) {
		var list corev1.EventList
		if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
			return false, err.Error()
		}
		var all []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name == name {
				all = append(all, e.Message)
			}
		}
		text := strings.Join(all, "\n")
		return strings.Contains(text, says), text
	})
}

// ib-kubernetes is there, and the leader waits: whom a replica gates then, nobody lets go.
func TestBesideIBKubernetesPodsComeWithoutTheGate(t *testing.T) {
	w := newWorld(t)
	w.install()
	rig.GrantAccount(t, w.bed, w.ns, "default", rig.IBKubernetesRules())
	w.incumbent(1)
	w.startOn(w.port)
	w.judged()
	if err := w.api.Create(w.ctx(), w.nad("rail1", infiniBand("0x5"), nil)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the pods' webhook knows the network", func() (bool, string) {
		pinned := w.draft("probe", `[{"name":"rail1","infiniband-guid":"02:00:00:00:00:00:00:01"}]`, gatedBy(w.gate()))
		err := w.api.Create(w.ctx(), pinned, client.DryRunAll)
		return err == nil, fmt.Sprint(err)
	})
	testbed.Eventually(t, "the pods' webhook knows of ib-kubernetes", func() (bool, string) {
		probe := w.draft("probe", "rail1")
		err := w.api.Create(w.ctx(), probe, client.DryRunAll)
		return err == nil && !w.isGated(probe), fmt.Sprint(err)
	})
	w.wantFree(w.pod("before", "rail1", out))
	w.incumbent(0)
	w.knows("rail1") // and gates again
	w.wantGate(w.pod("after", "rail1"))
	w.running("after")
	w.configured("before")
}

// Pods that only bear the name would else let a tenant's pods past the gate.
func TestATenantsPodsThatAreCalledIBKubernetesTakeNoGateAway(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.incumbent(1)
	w.startOn(w.port)
	w.judged()
	if err := w.api.Create(w.ctx(), w.nad("rail1", infiniBand("0x5"), nil)); err != nil {
		t.Fatal(err)
	}
	w.knows("rail1") // and gates
	testbed.Eventually(t, "it is said", func() (bool, string) {
		return strings.Contains(w.logs[0].String(), "deployment "+w.ns+"/ib-kubernetes is called like ib-kubernetes"), w.logs[0].Tail(5)
	})
	w.wantGate(w.pod("one", "rail1"))
	w.running("one")
}

// incumbent makes ib-kubernetes have so many pods, as far as anybody can see.
func (w *world) incumbent(pods int32) {
	w.t.Helper()
	labels := map[string]string{"app": "ib-kubernetes"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ib-kubernetes"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	d.Spec.Replicas = &pods
	if err := w.api.Create(w.ctx(), d); client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.api.Delete(context.Background(), d) })
	scale := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, pods))
	if err := w.api.Patch(w.ctx(), d, scale); err != nil {
		w.t.Fatal(err)
	}
	testbed.Eventually(w.t, fmt.Sprintf("ib-kubernetes has %d pods", pods), func() (bool, string) {
		err := w.api.Get(w.ctx(), client.ObjectKeyFromObject(d), d)
		return err == nil && d.Status.ReadyReplicas == pods, fmt.Sprint(d.Status, err)
	})
}

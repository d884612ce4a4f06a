package admission

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/guid"
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
	return compute, storage
}

// A pod on two fabrics may name its GUIDs on both: each controller judges its own, and
// neither lets the pod go on what the other has not looked at.
func TestAPodNamesGUIDsOnTheNetworksOfTwoFabrics(t *testing.T) {
	compute, storage := twoFabrics(t)
	const one, two = guid.GUID(0x0200_0000_0000_1001), guid.GUID(0x0200_0000_0000_2002)
	on := func(storageSays string) string {
		return fmt.Sprintf(`[{"name":"rail1","cni-args":{"guid":"%s"}},{"name":"rail1","namespace":"%s"%s}]`, one, storage.ns, storageSays)
	}

	t.Run("on both", func(t *testing.T) {
		pod := compute.pod("both", on(fmt.Sprintf(`,"cni-args":{"guid":"%s"}`, two)))
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
		compute.remove("both")
		compute.pod("one", on(""))
		compute.running("one")
		if got := compute.configured("one"); len(got) != 2 || got[1] == two {
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

func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.api.Delete(w.ctx(), w.draft(name, "")); err != nil {
		w.t.Fatal(err)
	}
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

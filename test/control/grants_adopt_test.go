package control

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
)

// The day that Partitions are required: pods of before have no row, as ib-kubernetes leaves
// them, and nobody would be granted what they have.
func TestLivePodsAreAdoptedThoughNobodyGrantsThemNow(t *testing.T) {
	w := newWorld(t)
	w.partition("storage", spec{PKey: "0x20"})
	w.partition("blue", spec{PKey: "0x5", Namespaces: toAll(), Also: []v1alpha1.PartitionRef{{Name: w.named("storage")}}})
	w.on("rail1", "blue")
	w.network("open", "0x6")
	first := w.lead(nil)
	w.pod("named", "rail1")
	w.pod("open", "open")
	named, open := w.configured("named")[0], w.configured("open")[0]
	for _, name := range []string{"named", "open"} {
		w.phase(name, corev1.PodRunning)
	}
	first.stop()
	if err := w.api.DeleteAllOf(w.ctx(), &v1alpha1.Ledger{}, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	w.editPartition("blue", func(s *spec) { s.Namespaces = nil })
	const another = guid.GUID(0x02000000000000aa)
	w.pod("thief", "open", written(w.ns, "open", another, "0x6")) // it says so, and UFM does not
	w.phase("thief", corev1.PodRunning)

	w.lead(nil, "--require-partition")
	w.event("named", "FabricNetworkChanged", "does not grant it")
	w.event("open", "FabricNetworkChanged", "keeps what it has")
	w.counts("blue", 1)
	w.counts("storage", 1)
	w.someRounds()
	w.inUFM(0x5, named)
	w.inUFM(0x20, named)
	w.inUFM(0x6, open)
	if adds, removes := w.told(named); adds != 2 || removes != 0 {
		t.Errorf("UFM was told to take %s in %d times, and out %d times", named, adds, removes)
	}
	w.undisturbed(open)
	w.pod("late", "open")
	w.event("late", "FabricRefused", "pkey 0x6 has no Partition")
	w.deletePod("named")
	w.deletePod("open")
	w.inUFM(0x5)
	w.inUFM(0x20)
	w.inUFM(0x6)
}

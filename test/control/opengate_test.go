package control

import (
	"fmt"
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// ungated waits until a pod's gate is lifted.
func (w *world) ungated(name string) {
	w.t.Helper()
	testbed.Eventually(w.t, "the gate of "+name+" is lifted", func() (bool, string) {
		gates := w.get(name).Spec.SchedulingGates
		return len(gates) == 0, fmt.Sprint(gates)
	})
}

func TestAPodThatNamesNoInfiniBandAnyMoreGoesOn(t *testing.T) {
	for _, policy := range []string{"sync", "add-only"} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			w.network("rail1", "0x5")
			w.rawNetwork("eth", `{"cniVersion":"0.3.1","type":"macvlan"}`)
			if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd}); err != nil {
				t.Fatal(err)
			}
			w.start("--sync-policy=" + policy)
			w.pod("a", "rail1", gated("ibfabric.io/"+w.ns))
			testbed.Eventually(t, "UFM is told of it", func() (bool, string) { return w.sim.Calls()[ufmsim.OpAdd] > 0, "" })
			w.rewrite("a", "eth")
			w.ungated("a")
			w.event("a", "FabricIgnored", "none of its networks is InfiniBand any more")
		})
	}
}

func TestAPodAtTheGateWhoseGrantIsWithdrawnIsToldThatItWaits(t *testing.T) {
	w := newWorld(t)
	w.team(w.ns, "blue")
	w.partition("blue", spec{PKey: "0x5", Namespaces: toTeam("blue")})
	w.on("rail1", "blue")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pod("a", "rail1", gated("ibfabric.io/"+w.ns))
	testbed.Eventually(t, "UFM is told of it", func() (bool, string) { return w.sim.Calls()[ufmsim.OpAdd] > 0, "" })
	w.team(w.ns, "")
	w.event("a", "FabricRefused", "does not grant it") // not that it keeps what it has, which it never used
	w.team(w.ns, "blue")
	w.sim.ClearFaults()
	w.ungated("a")
	w.inUFM(0x5, w.configured("a")...)
}

func TestAPodThatNamesNoNetworkAnyMoreGoesOn(t *testing.T) {
	w := newWorld(t)
	w.start("--require-partition")
	w.network("rail1", "0x5")
	w.pod("a", "rail1", gated("ibfabric.io/"+w.ns))
	w.event("a", "FabricRefused", "has no Partition")
	w.reannotate("a", func(annotations map[string]string) { clear(annotations) })
	w.ungated("a")
}

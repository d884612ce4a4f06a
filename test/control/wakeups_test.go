package control

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// No pod waits for ever: each of these once did, or could have.

func TestAnAddWhoseAnswerWasLostReleasesItsPod(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultLost, Op: ufmsim.OpAdd, Count: 1}); err != nil {
		t.Fatal(err)
	}
	w.start("--sync-period=1h")
	w.pod("a", "rail1")
	w.inUFM(0x5, w.configured("a")[0])
	if adds := w.sim.Calls()[ufmsim.OpAdd]; adds != 1 {
		t.Errorf("UFM showed the member and got %d adds", adds)
	}
}

func TestAGUIDThatSomebodyRegisteredBeforehandCanBePinned(t *testing.T) {
	w := newWorld(t)
	g := guid.GUID(0x0200000000000077)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x5, Members: []pkey.Member{{GUID: g, Mode: pkey.Mode{Index0: true}}}}); err != nil {
		t.Fatal(err)
	}
	w.network("blue", "0x5")
	w.network("red", "0x7")
	w.start("--sync-period=1h")
	w.pod("thief", "", pinned(w.ns, "red", g.String()))
	w.event("thief", "FabricWaiting", "held")
	w.pod("rightful", "", pinned(w.ns, "blue", g.String()))
	w.configured("rightful")
	w.inUFM(0x5, g)
	w.inUFM(0x7)
}

func TestAUFMThatTakesNoChangesIsNotHammered(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 403, Op: ufmsim.OpAdd}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "pkey 0x5")
	testbed.Eventually(t, "it is tried again a few times", func() (bool, string) { return w.sim.Calls()[ufmsim.OpAdd] >= 4, "" })
	// Backoff doubles from a quarter of a second: four tries take 1.75 s. Without it
	// there were four hundred a second.
	began, calls := time.Now(), w.sim.Calls()[ufmsim.OpAdd]
	testbed.Eventually(t, "another try", func() (bool, string) { return w.sim.Calls()[ufmsim.OpAdd] > calls, "" })
	if n := w.sim.Calls()[ufmsim.OpAdd] - calls; n > 2 && time.Since(began) < time.Second {
		t.Errorf("%d tries in %s", n, time.Since(began))
	}
	said := 0
	for _, line := range w.lines() {
		switch line["event"] {
		case "work.failed", "ufm.unavailable", "pod.waiting":
			if !w.othersPod(line) {
				said++
			}
		}
	}
	if said > 4 {
		t.Errorf("it was said %d times", said)
	}
	w.sim.ClearFaults()
	w.configured("a")
}

func TestAGatedPodOfTwoFabricsIsReleasedByBoth(t *testing.T) {
	w := newWorld(t)
	other := worldOn(t, w.bed)
	w.network("compute", "0x5")
	other.network("storage", "0x6")
	w.start()
	other.start()
	w.pod("a", "compute,"+other.ns+"/storage", gated("ibfabric.io/"+w.ns, "ibfabric.io/"+other.ns))
	guids := w.configured("a")
	w.inUFM(0x5, guids[0])
	other.inUFM(0x6, guids[1])
	testbed.Eventually(t, "both gates are lifted", func() (bool, string) {
		gates := w.get("a").Spec.SchedulingGates
		return len(gates) == 0, fmt.Sprint(gates)
	})
}

func TestANetworkThatBecomesInfiniBandWakesItsPods(t *testing.T) {
	w := newWorld(t)
	w.rawNetwork("rail1", `{"type":"macvlan"}`)
	w.network("other", "0x6")
	w.start()
	w.pod("a", "rail1")
	w.pod("b", "other")
	w.configured("b") // the controller has looked at both by now
	w.network("rail1", "0x5")
	w.inUFM(0x5, w.configured("a")[0])
}

func TestAnAnnotationThatIsTakenAwayLeaksNothing(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	w.edit("a", func(p *corev1.Pod) { delete(p.Annotations, attach.NetworksAnnotation) })
	w.pod("b", "rail1")
	b := w.configured("b")[0]
	w.inUFM(0x5, g, b)
	w.phase("a", "Succeeded")
	w.inUFM(0x5, b)
}

func TestAdoptionBelievesNoTenant(t *testing.T) {
	w := newWorld(t)
	hca, theirs := guid.GUID(0x0c42a10300000001), guid.GUID(0x0200000000000005)
	full := pkey.Mode{Index0: true}
	if err := w.sim.Preload(
		pkey.Partition{PKey: 0x9, Members: []pkey.Member{{GUID: hca, Mode: full}}},
		pkey.Partition{PKey: 0x7, Members: []pkey.Member{{GUID: theirs, Mode: full}}},
	); err != nil {
		t.Fatal(err)
	}
	w.network("blue", "0x5")
	w.pod("physical", "", written(w.ns, "blue", hca, "0x9"))     // would take the port out of 0x9 when it goes
	w.pod("other-key", "", written(w.ns, "blue", theirs, "0x7")) // would be in 0x7
	w.pod("own-key", "", written(w.ns, "blue", theirs, "0x5"))
	for _, name := range []string{"physical", "other-key", "own-key"} {
		w.phase(name, "Running")
	}
	w.start()
	w.event("physical", "FabricRefused", "outside this controller's range")
	w.event("other-key", "FabricRefused", "does not give")
	w.event("own-key", "FabricRefused", "stands in pkey 0x7")
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("the ledger took over %v", rows)
	}
	for _, name := range []string{"physical", "other-key", "own-key"} {
		w.deletePod(name)
	}
	w.pod("fine", "blue")
	w.inUFM(0x5, w.configured("fine")[0])
	w.inUFM(0x9, hca)
	w.inUFM(0x7, theirs)
}

func TestAUFMThatHangsIsLeftForTheNext(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	standby := w.sim.Fork()
	srv, err := standby.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultHang}); err != nil {
		t.Fatal(err)
	}
	w.startWith([]string{"UFM_ADDRESS=" + w.ufm.Addr() + "," + srv.Addr()}, "--ufm-timeout=3s") // half of it goes by before the next is asked
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	if m := standby.Members(0x5); len(m) != 1 || m[0].GUID != g {
		t.Errorf("the standby has %v", m)
	}
}

func TestACleanStopLeavesTheRestToTheNextLeader(t *testing.T) {
	w := newWorldAlone(t, slow)
	for i := range 30 {
		w.network(fmt.Sprintf("rail%d", i), (pkey.PKey(0x100) + pkey.PKey(i)).String())
	}
	first := w.start()
	w.logged("leader.adopted", "")
	w.createPods(30, func(i int) string { return fmt.Sprintf("rail%d", i) })
	testbed.Eventually(t, "UFM has the first member", func() (bool, string) { return len(w.sim.Journal()) > 0, "" })
	first.stop()
	if n := len(w.sim.Journal()); n > 25 {
		t.Errorf("it went on to %d partitions after it was told to stop", n)
	}
	w.start()
	w.logged("leader.elected", "the lease was free")
	for i := range 30 {
		w.configured(fmt.Sprintf("p%d", i))
	}
}

func TestWaitAppliedWaitsForChangesAndNotForWhatChangesNothing(t *testing.T) {
	w := newWorld(t, func(c *ufmsim.Config) { c.Timing.Apply = 1500 * time.Millisecond })
	w.network("rail1", "0x5")
	w.start("--wait-applied", "--ufm-timeout=10s")
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	applied := false
	for _, p := range w.sim.Applied() {
		for _, m := range p.Members {
			applied = applied || m.GUID == g
		}
	}
	if !applied {
		t.Error("the pod was released before the fabric had its member")
	}
	w.deletePod("a")
	testbed.Eventually(t, "it is held", func() (bool, string) { return w.rows()[g.String()].State == "Held", fmt.Sprint(w.rows()) })
}

func TestWaitAppliedSurvivesAWaitThatWasTooShort(t *testing.T) {
	w := newWorld(t, func(c *ufmsim.Config) { c.Timing.Apply = 15 * time.Second })
	w.network("rail1", "0x5")
	w.start("--wait-applied", "--ufm-timeout=2s")
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "did not apply")
	g := w.configured("a")[0]
	for _, p := range w.sim.Applied() {
		for _, m := range p.Members {
			if m.GUID == g {
				return
			}
		}
	}
	t.Error("the pod was released before the fabric had its member")
}

func TestAPodOfAReusedNameIsWokenByARead(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start("--sync-period=1h")
	w.pod("a-0", "rail1")
	w.configured("a-0")
	w.deletePod("a-0")
	w.inUFM(0x5)
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultLost, Op: ufmsim.OpAdd, Count: 1}); err != nil {
		t.Fatal(err)
	}
	w.pod("a-0", "rail1")
	w.inUFM(0x5, w.configured("a-0")[0])
}

package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestAPodWithEightRailsOfOneNetwork(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	w.start()
	w.pod("a", strings.Repeat("rail,", 7)+"rail")
	guids := w.configured("a")
	if len(guids) != 8 || len(slices.Compact(slices.Sorted(slices.Values(guids)))) != 8 {
		t.Errorf("eight rails have %v", guids)
	}
	w.inUFM(0x5, guids...)
	calls := w.sim.Calls()
	if calls[ufmsim.OpAdd] != 1 || calls[ufmsim.OpRemove] != 0 {
		t.Errorf("UFM got %v", calls)
	}
}

func TestANetworkWithoutAPKeyGetsAGUIDAndUFMIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.network("plain", "")
	w.start("--hold=300ms")
	w.pod("a", "plain")
	g := w.configured("a")[0]
	if row := w.rows()[g.String()]; row.Pod != "a" || len(row.PKeys) != 0 {
		t.Errorf("the ledger says %+v", row)
	}
	w.deletePod("a")
	testbed.Eventually(t, "the row goes when the hold is over", func() (bool, string) { return len(w.rows()) == 0, fmt.Sprint(w.rows()) })
	if n := len(w.sim.Journal()); n != 0 {
		t.Errorf("UFM was changed %d times", n)
	}
}

func TestTheNoopPluginKeepsItsGUIDsOverARestart(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	first := w.start("--sm-plugin=noop")
	w.pod("a", "rail1")
	a := w.configured("a")[0]
	first.stop()
	w.start("--sm-plugin=noop")
	w.pod("b", "rail1")
	if b := w.configured("b")[0]; b == a {
		t.Errorf("both pods have %s", a)
	}
	if calls := w.sim.Calls(); len(calls) != 0 {
		t.Errorf("UFM was called: %v", calls)
	}
}

func TestAPodKeepsWhatItHasWhenItsNetworkChanges(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("old", "rail1")
	old := w.configured("old")[0]
	w.network("rail1", "0x9")
	w.event("old", "FabricNetworkChanged", "keeps pkey 0x5")
	w.pod("new", "rail1")
	w.inUFM(0x9, w.configured("new")[0])
	w.inUFM(0x5, old)
	w.deleteNetwork("rail1")
	w.event("new", "FabricNetworkChanged", "does not exist")
	w.deletePod("new")
	w.deletePod("old")
	w.inUFM(0x5)
	w.inUFM(0x9)
}

func TestDriftIsRepairedBothWays(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5", attach.AlsoAnnotation, "0x20:limited")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	w.inUFM(0x20, g)
	if err := w.sim.Wipe(); err != nil {
		t.Fatal(err)
	}
	w.inUFM(0x5, g)
	w.inUFM(0x20, g)
	w.logged("drift.found", "0x5")
	w.deletePod("a")
	w.inUFM(0x5)
	w.inUFM(0x20)
	testbed.Eventually(t, "the GUID is held", func() (bool, string) { return w.rows()[g.String()].State == "Held", "" })
	// A held GUID that comes back is taken out again: a write that was given up came in.
	if err := w.sim.Preload(pkey.Partition{PKey: 0x5, Members: []pkey.Member{{GUID: g, Mode: pkey.Mode{Index0: true}}}}); err != nil {
		t.Fatal(err)
	}
	w.inUFM(0x5)
}

func TestAStandbyWithOldDataIsBroughtUpToDate(t *testing.T) {
	w := newWorld(t, func(c *ufmsim.Config) { c.Token = "token-of-both" })
	w.network("rail1", "0x5")
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	first := w.start()
	a := w.configured("a")[0]
	b := w.configured("b")[0]
	first.stop()
	standby := w.sim.Fork() // knows a and b
	srv, err := standby.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	// One that stops refuses at once. Where a call takes too long, the standby would stay.
	w.startWith([]string{"UFM_ADDRESS=" + w.ufm.Addr() + "," + srv.Addr()}, "--ufm-timeout=1m")
	w.pod("c", "rail1")
	c := w.configured("c")[0]
	w.deletePod("a")
	w.inUFM(0x5, b, c)
	testbed.Eventually(t, "a is held", func() (bool, string) { return w.rows()[a.String()].State == "Held", fmt.Sprint(w.rows()) })
	w.ufm.Stop() // the standby takes over with a and b, without c
	testbed.Eventually(t, "the standby has b and c", func() (bool, string) {
		var have []guid.GUID
		for _, m := range standby.Members(0x5) {
			have = append(have, m.GUID)
		}
		want := []guid.GUID{b, c}
		slices.Sort(want)
		return slices.Equal(have, want), fmt.Sprint(have)
	})
}

func TestARejectedMemberDoesNotStopTheOthers(t *testing.T) {
	bad := guid.GUID(0x02000000000000bb)
	w := newWorld(t, func(c *ufmsim.Config) {
		c.Quirks.UnknownGUID = "404"
		for g := guid.GUID(0x0200000000000000); g < 0x0200000000000010; g++ {
			c.Ports = append(c.Ports, ufmsim.Port{GUID: g})
		}
	})
	w.network("rail1", "0x5")
	for i := range 5 {
		w.pod(fmt.Sprintf("p%d", i), "rail1")
	}
	w.pod("bad", "", pinned(w.ns, "rail1", bad.String()))
	w.start()
	var want []guid.GUID
	for i := range 5 {
		want = append(want, w.configured(fmt.Sprintf("p%d", i))...)
	}
	w.inUFM(0x5, want...)
	w.event("bad", "FabricRejected", "")
	for _, e := range w.elements("bad") {
		if e.Configured {
			t.Error("the rejected pod was released")
		}
	}
}

func TestPodsWithOtherGatesAreLeftUntilThoseAreGone(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	ours := "ibfabric.io/" + w.ns
	w.start()
	w.pod("queued", "rail1", gated("kueue.x-k8s.io/admission", ours))
	w.pod("other", "rail1", gated(ours))
	g := w.configured("other")[0]
	w.inUFM(0x5, g)
	if rows := w.rows(); len(rows) != 1 {
		t.Errorf("the gated pod has a row: %v", rows)
	}
	w.edit("queued", func(p *corev1.Pod) { p.Spec.SchedulingGates = p.Spec.SchedulingGates[1:] })
	w.inUFM(0x5, g, w.configured("queued")[0])
	if gates := w.get("queued").Spec.SchedulingGates; len(gates) != 0 {
		t.Errorf("gates still stand: %v", gates)
	}
}

func TestDryRunTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start("--sync-policy=dry-run")
	before := w.pod("a", "rail1")
	w.logged("plan.add", "0x5")
	if after := w.get("a"); after.ResourceVersion != before.ResourceVersion {
		t.Error("the pod was changed")
	}
	if len(w.sim.Journal()) != 0 || len(w.rows()) != 0 {
		t.Errorf("UFM: %v, ledger: %v", w.sim.Journal(), w.rows())
	}
}

func TestAddOnlyNeverRemoves(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start("--sync-policy=add-only")
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	w.deletePod("a")
	w.logged("plan.remove", g.String())
	w.pod("b", "rail1")
	w.inUFM(0x5, g, w.configured("b")[0])
}

func TestTwoFabricsShareAPod(t *testing.T) {
	w := newWorld(t)
	other := worldOn(t, w.bed)
	w.network("compute", "0x5")
	other.network("storage", "0x6")
	w.start()
	other.start()
	w.pod("a", "compute,"+other.ns+"/storage")
	guids := w.configured("a")
	w.inUFM(0x5, guids[0])
	other.inUFM(0x6, guids[1])
	w.deletePod("a")
	w.inUFM(0x5)
	other.inUFM(0x6)
}

func TestKubeVirtMayTakeTheAnnotationAway(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("vm", "rail1", func(p *corev1.Pod) { p.Finalizers = []string{"ibfabric.io/test"} })
	g := w.configured("vm")[0]
	w.phase("vm", corev1.PodRunning)
	w.edit("vm", func(p *corev1.Pod) { p.Annotations[attach.NetworksAnnotation] = `[{"name":"rail1"}]` })
	w.pod("b", "rail1")
	b := w.configured("b")[0]
	w.inUFM(0x5, g, b)
	w.unfinalize("vm")
	w.inUFM(0x5, b)
}

func TestPodsOfIBKubernetesAreAdopted(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	g, h := guid.GUID(0x0200000000000000), guid.GUID(0x0200000000000001)
	full0 := pkey.Mode{Index0: true}
	if err := w.sim.Preload(pkey.Partition{PKey: 0x5, Members: []pkey.Member{{GUID: g, Mode: full0}, {GUID: h, Mode: full0}}}); err != nil {
		t.Fatal(err)
	}
	w.pod("old", "", written(w.ns, "rail1", g, "0x5"))
	w.pod("vm", "", func(p *corev1.Pod) { // KubeVirt took the fields away
		p.Annotations = map[string]string{
			attach.NetworksAnnotation:      `[{"name":"rail1"}]`,
			attach.NetworkStatusAnnotation: fmt.Sprintf(`[{"name":"%s/rail1","interface":"net1","mac":"00:00:10:87:fe:80:00:00:00:00:00:00:%s"}]`, w.ns, h),
		}
	})
	w.phase("vm", corev1.PodRunning)
	version := w.get("old").ResourceVersion
	w.start()
	w.pod("new", "rail1")
	n := w.configured("new")[0]
	w.inUFM(0x5, g, h, n)
	if now := w.get("old").ResourceVersion; now != version {
		t.Error("the adopted pod was patched")
	}
	if adds := w.sim.Calls()[ufmsim.OpAdd]; adds != 1 {
		t.Errorf("UFM got %d adds for one new pod", adds)
	}
	w.deletePod("old")
	w.deletePod("vm")
	w.inUFM(0x5, n)
}

func TestAPinnedGUIDIsUsedWhereItIsFree(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "", pinned(w.ns, "rail1", "02-00-00-00-00-00-00-AB"))
	if g := w.configured("a")[0]; g != 0x02000000000000ab {
		t.Errorf("it has %s", g)
	}
	w.inUFM(0x5, 0x02000000000000ab)
}

func TestAPodReplacedUnderItsNameGetsAGUIDOfItsOwn(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a-0", "rail1")
	first := w.configured("a-0")[0]
	w.deletePod("a-0")
	w.pod("a-0", "rail1")
	second := w.configured("a-0")[0]
	if second == first {
		t.Errorf("the new pod got the old one's %s within the hold", first)
	}
	w.inUFM(0x5, second)
}

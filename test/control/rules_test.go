package control

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// The ten rules of the design that never break, one test each or more. Each was seen to
// fail with its rule broken on purpose; docs/design/rules.md says how.

func TestRule1AGUIDHasOneOwnerAndALiveOneNeverLosesIt(t *testing.T) {
	w := newWorld(t)
	w.network("blue", "0x5")
	w.network("red", "0x7")
	w.start()
	w.pod("victim", "blue")
	g := w.configured("victim")[0]

	w.pod("thief", "", pinned(w.ns, "red", g.String()))
	w.event("thief", "FabricRefused", "belongs to another pod")
	w.inUFM(0x5, g)
	w.inUFM(0x7)
	for _, e := range w.sim.Journal() {
		if e.Op == ufmsim.OpRemove {
			t.Errorf("UFM was told to remove: %+v", e)
		}
	}
	if row := w.rows()[g.String()]; row.Pod != "victim" {
		t.Errorf("the ledger says it is %s's", row.Pod)
	}
}

func TestRule2OnlyTheLedgersMembersAreEverRemoved(t *testing.T) {
	w := newWorld(t)
	foreign, stray := guid.GUID(0x0c42a10300000001), guid.GUID(0x0200000000000009)
	full := pkey.Mode{Index0: true}
	if err := w.sim.Preload(pkey.Partition{PKey: 0x5, Members: []pkey.Member{{GUID: foreign, Mode: full}, {GUID: stray, Mode: full}}}); err != nil {
		t.Fatal(err)
	}
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	w.logged("members.unclaimed", stray.String())
	w.deletePod("a")
	w.inUFM(0x5, foreign, stray)
	for _, e := range w.sim.Journal() {
		for _, m := range e.Members {
			if e.Op == ufmsim.OpRemove && m.GUID != g {
				t.Errorf("%s was removed, which is not ours", m.GUID)
			}
		}
	}
}

func TestRule2AnUnclaimedMembersGUIDIsNotGivenToAPod(t *testing.T) {
	w := newWorld(t)
	first := guid.GUID(0x0200000000000000)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: first}}}); err != nil {
		t.Fatal(err)
	}
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	if g := w.configured("a")[0]; g == first {
		t.Errorf("the pod got %s, which stands in pkey 0x66", g)
	}
}

func TestRule3NoPodIsReleasedBeforeUFMHoldsAllItsMemberships(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5", attach.AlsoAnnotation, "0x20:limited")
	w.network("rail2", "0x6")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, PKey: 0x20, Op: ufmsim.OpAdd}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pod("a", "rail1,rail2", gated("ibfabric.io/"+w.ns))
	testbed.Eventually(t, "the other two partitions have their member", func() (bool, string) {
		return len(w.members(0x5)) == 1 && len(w.members(0x6)) == 1, ""
	})
	w.event("a", "FabricWaiting", "pkey 0x20")
	for _, e := range w.elements("a") {
		if e.Configured {
			t.Errorf("released with a membership missing: %+v", e)
		}
	}
	if len(w.get("a").Spec.SchedulingGates) != 1 {
		t.Error("its gate was lifted with a membership missing")
	}
	w.sim.ClearFaults()
	guids := w.configured("a")
	w.inUFM(0x20, guids[0])
	if gates := w.get("a").Spec.SchedulingGates; len(gates) != 0 {
		t.Errorf("its gate still stands: %v", gates)
	}
	if m := w.sim.Members(0x20)[0]; m.Membership != pkey.Limited || m.Index0 {
		t.Errorf("it is in 0x20 as %s", m.Mode)
	}
}

func TestRule4AGUIDIsHeldUntilUFMWasSeenWithoutItAndTheHoldIsOver(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start("--guid-range-start=02:00:00:00:00:00:00:01", "--guid-range-end=02:00:00:00:00:00:00:01", "--hold=3s")
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	// UFM forgets to remove: it answers, and still shows the member.
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultHTML, Op: ufmsim.OpRemove, Count: 1}); err != nil {
		t.Fatal(err)
	}
	w.deletePod("a")
	w.pod("b", "rail1")
	w.event("b", "FabricWaiting", "exhausted")
	if again := w.configured("b")[0]; again != g {
		t.Errorf("b has %s", again)
	}
	// From the journal: out before in again, and the hold between them.
	var out, in time.Time
	for _, e := range w.sim.Journal() {
		switch {
		case e.Op == ufmsim.OpRemove && !e.Changed.IsZero():
			out = e.Changed
		case e.Op == ufmsim.OpAdd && !out.IsZero():
			in = e.Received
		}
	}
	if in.Sub(out) < 3*time.Second {
		t.Errorf("removed at %s, given again at %s: the hold is 3s", out, in)
	}
}

func TestRule4AnAddThatWasGivenUpIsUndoneBeforeTheHoldCounts(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultLate, Op: ufmsim.OpAdd, Count: 1, Delay: 40 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Op: ufmsim.OpAdd, Status: 503}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "pkey 0x5")
	w.deletePod("a")
	testbed.Eventually(t, "UFM was told to remove it, though it never showed it", func() (bool, string) {
		return slices.ContainsFunc(w.sim.Journal(), func(e ufmsim.Entry) bool { return e.Op == ufmsim.OpRemove && e.Status == 200 }), ""
	})
	if slices.ContainsFunc(w.sim.Journal(), func(e ufmsim.Entry) bool { return e.Op == ufmsim.OpAdd && !e.Changed.IsZero() }) {
		t.Fatal("the add came in first: the test proves nothing")
	}
	testbed.Eventually(t, "the given-up add came in and was removed again", func() (bool, string) {
		added, removed := uint64(0), uint64(0)
		for _, e := range w.sim.Journal() {
			if e.Op == ufmsim.OpAdd && !e.Changed.IsZero() {
				added = e.Seq
			}
			if e.Op == ufmsim.OpRemove && len(e.Members) > 0 {
				removed = e.Seq
			}
		}
		return added > 0 && removed > 0 && len(w.members(0x5)) == 0, fmt.Sprint(w.sim.Journal())
	})
}

func TestRule5AMemberStaysWhileItsPodTerminates(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	grace := int64(3600)
	w.pod("a", "rail1", func(p *corev1.Pod) {
		p.Spec.TerminationGracePeriodSeconds = &grace
		p.Finalizers = []string{"ibfabric.io/test"}
	})
	w.pod("done", "rail1", func(p *corev1.Pod) { p.Finalizers = []string{"ibfabric.io/test"} })
	g, d := w.configured("a")[0], w.configured("done")[0]
	w.network("rail1", "0x9") // what the network says now is not what the pods had

	if err := w.api.Delete(w.ctx(), w.get("a")); err != nil {
		t.Fatal(err)
	}
	w.phase("done", corev1.PodSucceeded)
	w.inUFM(0x5, g) // done has left, a has not
	if w.get("a").DeletionTimestamp == nil {
		t.Fatal("the pod is not terminating: the test proves nothing")
	}
	w.unfinalize("a")
	w.inUFM(0x5)
	w.unfinalize("done")
	w.isHeld(d)
	if row := w.rows()[d.String()]; row.PKeys[0].PKey != "0x5" {
		t.Errorf("the row of the finished pod is %+v", row)
	}
}

func TestRule5AGUIDIsHeldWhileItsNodeMayStillRunTheOldContainers(t *testing.T) {
	w := newWorld(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if err := w.api.Create(w.ctx(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bed.Client().CoreV1().Nodes().Delete(context.Background(), w.ns, metav1.DeleteOptions{}) })
	w.nodeStatus("boot-1", corev1.ConditionUnknown)
	w.network("rail1", "0x5")
	w.start("--hold=500ms")
	w.pod("a", "rail1", func(p *corev1.Pod) { p.Spec.NodeName = w.ns })
	g := w.configured("a")[0]
	w.deletePod("a") // by force: its node does not answer
	w.inUFM(0x5)
	w.network("rail2", "0x6")
	w.pod("b", "rail2") // another pod's life, long enough for the hold and a sweep
	w.configured("b")
	w.deletePod("b")
	testbed.Eventually(t, "b's row is gone, whose hold began later", func() (bool, string) {
		rows := w.rows()
		return len(rows) == 1, fmt.Sprint(rows)
	})
	w.isHeld(g)
	if row := w.rows()[g.String()]; row.Node != w.ns || row.BootID != "boot-1" {
		t.Errorf("the row of the lost node's pod is %+v", row)
	}
	w.nodeStatus("boot-2", corev1.ConditionUnknown)
	testbed.Eventually(t, "its node booted anew: it is free", func() (bool, string) { return len(w.rows()) == 0, fmt.Sprint(w.rows()) })
}

package control

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultLate, Op: ufmsim.OpAdd, Count: 1, Delay: 8 * time.Second}); err != nil {
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
	if row := w.rows()[d.String()]; row.State != "Held" || row.PKeys[0].PKey != "0x5" {
		t.Errorf("the row of the finished pod is %+v", row)
	}
}

func TestRule5AGUIDIsHeldWhileItsNodeMayStillRunTheOldContainers(t *testing.T) {
	w := newWorld(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if err := w.api.Create(w.ctx(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bed.Client().CoreV1().Nodes().Delete(t.Context(), w.ns, metav1.DeleteOptions{}) })
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
	if row := w.rows()[g.String()]; row.State != "Held" || row.Node != w.ns || row.BootID != "boot-1" {
		t.Errorf("the row of the lost node's pod is %+v", row)
	}
	w.nodeStatus("boot-2", corev1.ConditionUnknown)
	testbed.Eventually(t, "its node booted anew: it is free", func() (bool, string) { return len(w.rows()) == 0, fmt.Sprint(w.rows()) })
}

func TestRule6WithUFMOrTheAPIServerAwayPodsKeepWhatTheyHave(t *testing.T) {
	newWorld(t) // for the program
	bed := testbed.Start(t)
	if err := bed.InstallNADCRD(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := installCRDs(t.Context(), bed); err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, bed)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	a := w.configured("a")[0]

	w.ufm.Stop()
	w.pod("b", "rail1")
	w.event("b", "FabricWaiting", "pkey 0x5")
	w.logged("ufm.unavailable", "")
	if err := w.ufm.Resume(); err != nil {
		t.Fatal(err)
	}
	b := w.configured("b")[0]
	w.logged("ufm.recovered", "")

	bed.StopAPIServer()
	w.sim.ResetCalls()
	testbed.Eventually(t, "the controller goes on reading UFM, or gives up its lease", func() (bool, string) {
		return w.sim.Calls()[ufmsim.OpList] > 0 || strings.Contains(w.said()[0], "leader.stopped"), ""
	})
	if err := bed.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.start() // what Kubernetes does with one that ended
	w.pod("c", "rail1")
	w.inUFM(0x5, a, b, w.configured("c")[0])
	for _, e := range w.sim.Journal() {
		if e.Op == ufmsim.OpRemove {
			t.Errorf("something was removed: %+v", e)
		}
	}
}

func TestRule7ANewLeaderAdoptsBeforeItAllocates(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	first := w.start()
	want := map[string]guid.GUID{}
	for i := range 5 {
		name := fmt.Sprintf("p%d", i)
		w.pod(name, "rail1")
		want[name] = w.configured(name)[0]
	}
	first.kill()
	w.sim.ResetCalls()
	w.start()
	w.pod("new", "rail1")
	g := w.configured("new")[0]
	for name, had := range want {
		if has := w.configured(name)[0]; has != had || has == g {
			t.Errorf("%s had %s, has %s; the new pod has %s", name, had, has, g)
		}
	}
	if adds := w.sim.Calls()[ufmsim.OpAdd]; adds != 1 {
		t.Errorf("UFM got %d adds for one new pod", adds)
	}
	w.deletePod("p0")
	testbed.Eventually(t, "an adopted pod's member goes with it", func() (bool, string) {
		return !slices.Contains(w.members(0x5), want["p0"]), ""
	})
}

func TestRule7OfTwoClaimsTheOneThatUFMShowsStands(t *testing.T) {
	w := newWorld(t)
	g := guid.GUID(0x0200000000000042)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x7, Members: []pkey.Member{{GUID: g, Mode: pkey.Mode{Index0: true}}}}); err != nil {
		t.Fatal(err)
	}
	w.network("blue", "0x5")
	w.network("red", "0x7")
	older := w.pod("older", "", written(w.ns, "blue", g, "0x5"))
	testbed.Eventually(t, "the clock shows another second", func() (bool, string) {
		return time.Now().Unix() > older.CreationTimestamp.Unix(), ""
	})
	w.pod("member", "", written(w.ns, "red", g, "0x7"))
	w.start()
	w.event("older", "FabricRefused", "stands in pkey 0x7")
	testbed.Eventually(t, "the ledger says it is the member's", func() (bool, string) {
		row := w.rows()[g.String()]
		return row.Pod == "member", fmt.Sprint(row)
	})
	w.inUFM(0x7, g)
	w.inUFM(0x5)
}

func TestRule7OfTwoEqualClaimsTheOlderPodsStands(t *testing.T) {
	w := newWorld(t)
	g := guid.GUID(0x0200000000000042)
	w.network("rail1", "0x5")
	older := w.pod("older", "", written(w.ns, "rail1", g, "0x5"))
	testbed.Eventually(t, "the clock shows another second", func() (bool, string) {
		return time.Now().Unix() > older.CreationTimestamp.Unix(), ""
	})
	w.pod("younger", "", written(w.ns, "rail1", g, "0x5"))
	w.start()
	w.event("younger", "FabricConflict", "belongs to another pod")
	if row := w.rows()[g.String()]; row.Pod != "older" {
		t.Errorf("the ledger says it is %s's", row.Pod)
	}
	w.inUFM(0x5, g)
}

func TestRule8APausedLeaderWritesNothingWhenItGoesOn(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	old := w.start()
	w.pod("a", "rail1")
	a := w.configured("a")[0]
	old.signal(syscall.SIGSTOP)
	w.start()
	w.pod("b", "rail1")
	b := w.configured("b")[0]
	// What it would write is waiting for it when it goes on: deletions and new pods.
	w.deletePod("a")
	w.inUFM(0x5, b)
	const more = 40
	go old.signal(syscall.SIGCONT)
	w.createPods(more, func(int) string { return "rail1" })
	<-old.end // it finds its lease gone
	want := []guid.GUID{b}
	for i := range more {
		want = append(want, w.configured(fmt.Sprintf("p%d", i))[0])
	}
	w.inUFM(0x5, want...)
	if rows := w.rows(); rows[a.String()].Pod != "a" || len(rows) != more+2 {
		t.Errorf("the ledger has %d rows, and of the first pod %v", len(rows), rows[a.String()])
	}
	sent := 0
	for _, e := range w.sim.Journal() {
		if e.Op == ufmsim.OpAdd {
			sent += len(e.Members)
		}
	}
	if sent != more+2 {
		t.Errorf("UFM was sent %d members for %d pods", sent, more+2)
	}
	text := w.said()[0] // the old one's, from the moment it went on
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, `"ufm.added"`) && strings.Count(text, `"ufm.added"`) > 1 {
			t.Errorf("it wrote after its lease: %s", line)
			break
		}
	}
}

func TestRule8WhatEndedUnseenIsFoundAndRemoved(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	first := w.start()
	for i := range 4 {
		w.pod(fmt.Sprintf("p%d", i), "rail1")
	}
	keep := w.configured("p3")[0]
	for i := range 3 {
		w.configured(fmt.Sprintf("p%d", i))
	}
	first.kill()
	for i := range 3 {
		w.deletePod(fmt.Sprintf("p%d", i))
	}
	w.start()
	w.inUFM(0x5, keep)
}

func TestRule9WhateverWaitsOrIsRefusedSaysWhyAndStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.network("good", "0x5")
	for name, pkeyText := range map[string]string{"decimal": "1000", "top-bit": "0x8001", "management": "0x7fff", "zero": "0x0", "typo": "x0x5"} {
		w.network(name, pkeyText)
	}
	w.rawNetwork("broken", `{"type":"ib-sriov","pkey":`)
	w.rawNetwork("doubled", `{"type":"ib-sriov","pkey":"0x5","PKey":"0x6"}`)
	w.start()
	for network, says := range map[string]string{
		"decimal": "did you mean 0x3e8", "top-bit": "write 0x1", "management": "management partition",
		"zero": "use 0x1 to 0x7ffe", "typo": "write it in hex", "broken": "JSON", "doubled": "pkey",
	} {
		w.pod("on-"+network, network)
		w.event("on-"+network, "FabricRefused", says)
	}
	w.pod("nowhere", "missing")
	w.event("nowhere", "FabricWaiting", "does not exist")
	w.pod("six-bytes", "", pinned(w.ns, "good", "02:00:00:00:00:01"))
	w.event("six-bytes", "FabricRefused", "16 hex digits")
	w.pod("number", "", func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: `[{"name":"good","cni-args":{"guid":5,"pkey":7.5}}]`}
	})
	w.event("number", "FabricRefused", "guid")
	w.pod("outside", "", pinned(w.ns, "good", "04:00:00:00:00:00:00:01"))
	w.event("outside", "FabricRefused", "outside the pool's range")
	w.pod("host", "good", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	w.event("host", "FabricIgnored", "host's network")

	w.pod("fine", "good")
	w.inUFM(0x5, w.configured("fine")[0])

	w.network("decimal", "0x3e8") // mended, and taken up without a restart
	w.inUFM(0x3e8, w.configured("on-decimal")[0])
	w.network("missing", "0x6")
	w.inUFM(0x6, w.configured("nowhere")[0])
}

func TestRule10NoSecretLeavesTheProcess(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	w.configured("a")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 401, Op: ufmsim.OpAdd, Count: 1}); err != nil {
		t.Fatal(err)
	}
	w.pod("b", "rail1")
	w.configured("b")
	events, err := w.bed.Client().CoreV1().Events(w.ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(w.said(), fmt.Sprint(events.Items), fmt.Sprint(w.rows())) {
		for _, secret := range []string{password, "YWRtaW46czNjcmV0LW9mLXVmbQ"} { // plain, and as basic auth
			if strings.Contains(text, secret) {
				t.Errorf("the password is in:\n%s", text)
			}
		}
	}
}

func TestRule10UFMWithAnotherCertificateIsNotTalkedTo(t *testing.T) {
	w := newWorld(t)
	certPEM, _, err := ufmsim.SelfSigned([]string{"127.0.0.1"}, false)
	if err != nil {
		t.Fatal(err)
	}
	w.network("rail1", "0x5")
	w.startWith([]string{"UFM_CERTIFICATE=" + string(certPEM)})
	w.logged("ufm.unavailable", "UFM_CERTIFICATE")
	if calls := w.sim.Calls(); len(calls) != 0 {
		t.Errorf("UFM was called: %v", calls)
	}
}

// pinned names a network and asks for a GUID by value.
func pinned(ns, network, g string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(`[{"name":%q,"namespace":%q,"infiniband-guid":%q}]`, network, ns, g)}
	}
}

// written is what ib-kubernetes leaves in a pod that it configured.
func written(ns, network string, g guid.GUID, p string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(
			`[{"name":%q,"namespace":%q,"cni-args":{"guid":%q,"mellanox.infiniband.app":"configured","pkey":%q}}]`, network, ns, g, p)}
	}
}

func gated(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, name := range names {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
		}
	}
}

func (w *world) phase(name string, phase corev1.PodPhase) {
	w.t.Helper()
	pod := w.get(name)
	pod.Status.Phase = phase
	if err := w.api.Status().Update(w.ctx(), pod); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unfinalize(name string) {
	w.t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := w.api.Patch(w.ctx(), w.get(name), patch); err != nil {
		w.t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	if err := client.IgnoreNotFound(w.api.Delete(w.ctx(), pod, client.GracePeriodSeconds(0))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) nodeStatus(boot string, ready corev1.ConditionStatus) {
	w.t.Helper()
	var node corev1.Node
	if err := w.api.Get(w.ctx(), client.ObjectKey{Name: w.ns}, &node); err != nil {
		w.t.Fatal(err)
	}
	node.Status.NodeInfo.BootID = boot
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
	if err := w.api.Status().Update(w.ctx(), &node); err != nil {
		w.t.Fatal(err)
	}
}

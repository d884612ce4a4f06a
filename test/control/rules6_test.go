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

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestRule6WithUFMOrTheAPIServerAwayPodsKeepWhatTheyHave(t *testing.T) {
	bed := testbed.Start(t) // its API server goes away
	if err := rig.InstallKinds(t.Context(), bed); err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, bed)
	w.network("rail1", "0x5")
	w.start(quick()...)
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
	first := w.start(quick()...)
	want := map[string]guid.GUID{}
	for i := range 5 {
		name := fmt.Sprintf("p%d", i)
		w.pod(name, "rail1")
		want[name] = w.configured(name)[0]
	}
	first.kill()
	w.sim.ResetCalls()
	w.succeed()
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
	testbed.Eventually(t, "the ledger says it is the older's", func() (bool, string) { // it is told before the row is stored
		row := w.rows()[g.String()]
		return row.Pod == "older", fmt.Sprint(row)
	})
	w.inUFM(0x5, g)
}

func TestRule8APausedLeaderWritesNothingWhenItGoesOn(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	old := w.start(quick()...)
	w.pod("a", "rail1")
	a := w.configured("a")[0]
	old.signal(syscall.SIGSTOP)
	w.succeed()
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
	first := w.start(quick()...)
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
	w.succeed()
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

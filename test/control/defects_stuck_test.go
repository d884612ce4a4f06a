package control

import (
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

func TestDefect14APodThatFailedIsTriedAgainUntilItIsServed(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	const tries = 7 // more than the six after which ib-kubernetes gave up
	step, failed := failing(tries, http.StatusInternalServerError, isPodPatch)
	f.stepIn(step)
	w.lead(env, "--sync-period=100ms")

	t.Run("the API server failed its patch", func(t *testing.T) {
		here := w.within(t)
		here.pod("a", "rail1")
		g := here.configured("a")[0]
		if n := failed.Load(); n != tries {
			t.Fatalf("%d patches failed: the test proves nothing", n)
		}
		here.inUFM(0x5, g)
		here.undisturbed(g)
	})
	t.Run("its owner corrected the annotation", func(t *testing.T) {
		here := w.within(t)
		here.pod("b", "", pinned(w.ns, "rail1", "04:00:00:00:00:00:00:01"))
		here.event("b", "FabricRefused", "outside the pool's range")
		here.reannotate("b", func(a map[string]string) { a[attach.NetworksAnnotation] = "rail1" })
		here.configured("b")
	})
}

func TestDefect16AfterARestartNoNewPodIsOfferedALivePodsGUID(t *testing.T) {
	w := newWorld(t)
	w.network("plain", "") // UFM knows nothing of its GUIDs
	// Twelve GUIDs for twelve pods, the first of which lie scattered: whoever forgets one
	// comes across it.
	flags := []string{"--guid-range-start=02:00:00:00:00:00:00:00", "--guid-range-end=02:00:00:00:00:00:00:0b"}
	owner := map[guid.GUID]string{}
	served := func(name string, edit func(*corev1.Pod)) {
		t.Helper()
		w.pod(name, "plain", edit)
		g := w.configured(name)[0]
		if has, taken := owner[g]; taken {
			t.Errorf("%s got %s, which %s has", name, g, has)
		}
		owner[g] = name
		w.phase(name, corev1.PodRunning)
	}
	anyGUID := func(*corev1.Pod) {}
	first := w.lead(nil, flags...)
	for _, last := range []string{"04", "08", "0b"} {
		served("old-"+last, pinned(w.ns, "plain", "02:00:00:00:00:00:00:"+last))
	}
	first.stop()
	second := w.lead(nil, flags...)
	for i := range 3 {
		served(fmt.Sprintf("new%d", i), anyGUID)
	}
	second.stop()
	// Without its ledger, as on the day it takes the place of ib-kubernetes.
	if err := w.api.DeleteAllOf(w.ctx(), &v1alpha1.Ledger{}, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	w.lead(nil, flags...)
	for i := range 6 {
		served(fmt.Sprintf("last%d", i), anyGUID)
	}
	if rows := w.rows(); len(rows) != len(owner) {
		t.Errorf("%d pods have %d rows", len(owner), len(rows))
	}
}

func TestDefect17ATypoInAPKeyIsToldOnceAndWaitsForItsMend(t *testing.T) {
	w := newWorld(t)
	w.network("decimal", "5")
	w.network("stray", "x0x5")
	w.network("tail", "0x5 ")
	w.rawNetwork("list", `{"type":"ib-sriov","pkey":["0x5"]}`)
	w.rawNetwork("number", `{"type":"ib-sriov","pkey":6}`)
	w.lead(nil, "--sync-period=100ms")
	typos := map[string]string{"decimal": "did you mean 0x5", "stray": "write it in hex", "tail": "hex", "list": "pkey"}
	for network, says := range typos {
		w.pod("on-"+network, network)
		w.event("on-"+network, "FabricRefused", says)
	}
	w.pod("on-number", "number") // a JSON number has but one meaning
	w.inUFM(0x6, w.configured("on-number")[0])
	w.someRounds()
	for network := range typos {
		if lines := w.saidOf("on-" + network); len(lines) != 1 {
			t.Errorf("the typo of network %s was told %d times: %v", network, len(lines), lines)
		}
	}
	w.network("stray", "0x5")
	w.inUFM(0x5, w.configured("on-stray")[0])
}

func TestDefect18APodThatIsSeenAgainAndAgainIsServedOnce(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.lead(nil, "--sync-period=50ms")
	for i := range 5 {
		w.pod(fmt.Sprintf("p%d", i), "rail1")
	}
	// The pods change all the time while they wait, are served, and after that.
	for round := range 10 {
		for i := range 5 {
			w.reannotate(fmt.Sprintf("p%d", i), func(a map[string]string) { a["somebody/round"] = fmt.Sprint(round) })
		}
	}
	for i := range 5 {
		name := fmt.Sprintf("p%d", i)
		w.undisturbed(w.configured(name)...)
		w.loggedOnce(name, "pod.configured")
	}
}

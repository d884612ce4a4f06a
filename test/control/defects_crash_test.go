package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestDefect7PodsThatComeAndGoAtOnceHarmNobody(t *testing.T) {
	w := newWorld(t)
	networks := []string{"blue", "red", "plain"}
	w.network("blue", "0x5")
	w.network("red", "0x6")
	w.network("plain", "")
	w.lead(nil, "--ufm-concurrency=4")
	w.logged("leader.adopted", "")
	const pods = 90
	w.createPods(pods/2, func(i int) string { return networks[i%3] })
	var both sync.WaitGroup
	both.Go(func() {
		for i := 0; i < pods/2; i += 2 {
			w.deletePod(fmt.Sprintf("p%d", i))
		}
	})
	for i := pods / 2; i < pods; i++ {
		w.pod(fmt.Sprintf("p%d", i), networks[i%3])
	}
	both.Wait()
	in := map[string][]guid.GUID{}
	for i := range pods {
		if i >= pods/2 || i%2 == 1 {
			in[networks[i%3]] = append(in[networks[i%3]], w.configured(fmt.Sprintf("p%d", i))[0])
		}
	}
	w.inUFM(0x5, in["blue"]...)
	w.inUFM(0x6, in["red"]...)
	w.undisturbed(slices.Concat(in["blue"], in["red"])...)
}

func TestDefect8AnEndThatTheWatchMissedIsNoPanic(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	w.network("gone", "0x6")
	p := w.lead(env)
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	a, b := w.configured("a")[0], w.configured("b")[0]
	w.inUFM(0x5, a, b)

	deaf := func(r *http.Request) bool {
		return r.Method == http.MethodGet && (strings.HasSuffix(r.URL.Path, "/pods") || strings.HasSuffix(r.URL.Path, "/network-attachment-definitions"))
	}
	f.stepIn(func(rw http.ResponseWriter, r *http.Request) bool {
		if deaf(r) {
			http.Error(rw, "no", http.StatusServiceUnavailable)
		}
		return deaf(r)
	})
	before := len(f.requests(deaf))
	f.cut()
	testbed.Eventually(t, "the controller has lost both watches", func() (bool, string) { return len(f.requests(deaf)) >= before+2, "" })
	w.deletePod("a")
	w.deleteNetwork("gone")
	f.stepIn(nil)
	w.inUFM(0x5, b)
	w.pod("c", "rail1")
	w.inUFM(0x5, b, w.configured("c")[0])
	select {
	case <-p.end:
		t.Error("the controller ended")
	default:
	}
}

func TestDefects9To11WhatALeaderFindsDoesNotKeepItFromItsWork(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	twin, hidden := guid.GUID(0x0200000000000042), guid.GUID(0x0200000000000000)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: hidden}}}); err != nil {
		t.Fatal(err)
	}
	w.pod("number", "", annotated(`[{"name":"rail1","cni-args":{"guid":"02:00:00:00:00:00:00:77","pkey":5,"mellanox.infiniband.app":"configured"}}]`))
	w.pod("nonsense", "", annotated(`[{"name":7,"cni-args":[]},null,"x"]`))
	for _, name := range []string{"one", "copy"} {
		w.pod(name, "", written(w.ns, "rail1", twin, "0x5"))
	}
	for _, name := range []string{"number", "nonsense", "one", "copy"} {
		w.phase(name, corev1.PodRunning)
	}
	f, env := w.ufmFront()
	f.stepIn(spoil(f.next, `"guids":[{`, `"guids":[{"guid":"zz"},{"guid":7},null,"02:00",{`))
	w.lead(env)
	w.pod("new", "rail1")
	g := w.configured("new")[0]
	w.inUFM(0x5, twin, g)

	t.Run("9 a pkey that is no string", func(t *testing.T) {
		w.within(t).event("number", "FabricRefused", "pkey")
	})
	t.Run("10 two live pods with one GUID", func(t *testing.T) {
		here := w.within(t)
		owner := here.rows()[twin.String()].Pod
		loser := map[string]string{"one": "copy", "copy": "one"}[owner]
		if loser == "" {
			t.Fatalf("it is %q's", owner)
		}
		here.event(loser, "FabricConflict", "belongs to another pod")
		here.undisturbed(twin)
	})
	t.Run("11 GUIDs in UFM's list that are none", func(t *testing.T) {
		if !strings.Contains(w.said()[0], "cannot be read") {
			t.Error("nobody was told that something was left out")
		}
		if g == hidden {
			t.Errorf("the new pod got %s: the member behind the bad ones was not seen", g)
		}
	})
}

func TestDefect12ANetworkThatIsMissingStallsNobody(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	const missing = 10
	for i := range missing {
		w.pod(fmt.Sprintf("lost%d", i), fmt.Sprintf("nowhere%d", i))
	}
	w.lead(env, "--sync-period=100ms")
	for i := range missing {
		w.event(fmt.Sprintf("lost%d", i), "FabricWaiting", "does not exist")
	}
	w.pod("fine", "rail1")
	w.inUFM(0x5, w.configured("fine")[0])
	w.deletePod("lost0")
	w.someRounds()
	gone := len(w.saidOf("lost0"))
	w.someRounds()
	if lines := w.saidOf("lost0"); len(lines) > gone {
		t.Errorf("of a pod that is gone: %v", lines[gone:])
	}
	for i := 1; i < missing; i++ {
		if lines := w.saidOf(fmt.Sprintf("lost%d", i)); len(lines) != 1 {
			t.Errorf("of pod lost%d it was said %d times that it waits: %v", i, len(lines), lines)
		}
	}
	for _, r := range f.requests(nil) {
		if strings.Contains(r.URL.Path, "/network-attachment-definitions/") {
			t.Errorf("the API server was asked for %s, which the watch tells of", r.URL.Path)
		}
	}
	w.network("nowhere1", "0x6")
	w.inUFM(0x6, w.configured("lost1")[0])
}

func TestDefect13OfPodsOnOtherNetworksNothingIsKept(t *testing.T) {
	w := newWorld(t)
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	w.network("rail1", "0x5")
	w.lead([]string{"GODEBUG=gctrace=1", "GOGC=10"}, "--sync-period=20ms", "--log-level=info")
	w.pod("fine", "rail1")
	w.configured("fine")
	before := w.liveHeap()
	// Each pod weighs what its annotation does: 80 of them are 16 MB.
	const pods, each = 80, 200 << 10
	heavy := annotated(`[{"name":"lan","cni-args":{"x":%q}}]`, strings.Repeat("x", each))
	for i := range pods {
		w.pod(fmt.Sprintf("lan%d", i), "", heavy)
	}
	seen := w.liveHeap()
	if err := w.bed.Client().CoreV1().Pods(w.ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the controller's live heap is what it was, within a third of the pods' weight", func() (bool, string) {
		now := w.liveHeap()
		return now <= before+pods*each/3>>20, fmt.Sprintf("%d MB before, %d MB with the pods, %d MB now", before, seen, now)
	})
	for i := range pods {
		if lines := w.saidOf(fmt.Sprintf("lan%d", i)); len(lines) > 0 {
			t.Fatalf("of a pod that is no concern of ours was logged: %v", lines)
		}
	}
}

package control

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestDefect26APodIsServedBeforeItHasANodeAndWithoutATick(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.lead(nil, "--sync-period=1h")
	w.pod("a", "rail1", gated("ibfabric.io/"+w.ns))
	w.inUFM(0x5, w.configured("a")[0])
	if pod := w.get("a"); pod.Spec.NodeName != "" || len(pod.Spec.SchedulingGates) != 0 {
		t.Errorf("on node %q, gates %v", pod.Spec.NodeName, pod.Spec.SchedulingGates)
	}
}

func TestDefect27WhileUFMThinksEverythingElseGoesOn(t *testing.T) {
	w := newWorld(t)
	w.network("slow", "0x5")
	w.network("plain", "")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultHang, Op: ufmsim.OpAdd, PKey: 0x5}); err != nil {
		t.Fatal(err)
	}
	w.lead(nil, "--ufm-timeout=10m")
	w.pod("waits", "slow")
	testbed.Eventually(t, "UFM has the call", func() (bool, string) { return w.sim.Calls()[ufmsim.OpAdd] == 1, "" })
	w.pod("free", "plain")
	w.configured("free")
	w.pod("wrong", "", pinned(w.ns, "slow", "04:00:00:00:00:00:00:01"))
	w.event("wrong", "FabricRefused", "outside")
	w.deletePod("free")
	testbed.Eventually(t, "its GUID is held", func() (bool, string) {
		for _, row := range w.rows() {
			if row.Pod == "free" && row.State == "Held" {
				return true, ""
			}
		}
		return false, fmt.Sprint(w.rows())
	})
	if len(w.sim.Journal()) != 0 {
		t.Fatal("the call was answered: the test proves nothing")
	}
}

func TestDefect28APartitionThatFailsHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	w.network("broken", "0x5")
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 500, Op: ufmsim.OpAdd, PKey: 0x5}); err != nil {
		t.Fatal(err)
	}
	w.lead(nil)
	w.pod("stuck", "broken")
	w.event("stuck", "FabricWaiting", "pkey 0x5")
	for i := range 8 {
		p := pkey.PKey(0x100 + i)
		w.network("rail"+fmt.Sprint(i), p.String())
		w.pod("p"+fmt.Sprint(i), "rail"+fmt.Sprint(i))
		g := w.configured("p" + fmt.Sprint(i))[0]
		w.inUFM(p, g)
		w.undisturbed(g)
	}
	w.notConfigured("stuck")
}

func TestDefect29AnOutageCostsUFMNoMoreRequestsThanPartitions(t *testing.T) {
	w := newWorld(t)
	f, env := w.ufmFront()
	w.network("blue", "0x5")
	w.network("red", "0x6")
	w.lead(env, "--sync-period=1h", "--ufm-timeout=10s")
	w.logged("leader.adopted", "")
	f.stepIn(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	before := len(f.requests(nil))
	const pods = 100
	w.createPods(pods, func(i int) string { return []string{"blue", "red"}[i%2] })
	w.event(fmt.Sprintf("p%d", pods-2), "FabricWaiting", "pkey 0x5")
	w.event(fmt.Sprintf("p%d", pods-1), "FabricWaiting", "pkey 0x6")
	testbed.Eventually(t, "all pods have their GUIDs", func() (bool, string) {
		n := len(w.logOf("pod.assigned"))
		return n >= pods, fmt.Sprintf("%d have", n)
	})
	// From here on nothing comes but what is tried again.
	met, since := len(f.requests(nil)), time.Now()
	testbed.Eventually(t, "it is tried again, for a while", func() (bool, string) {
		return len(f.requests(nil)) >= met+4 && time.Since(since) > 6*time.Second, ""
	})
	// Behind what is under way and what the last pod made due, a partition is tried after 0.25 s,
	// 0.5 s, 1 s and so on, or later where it has failed more often. Each time it is asked thrice.
	again := len(f.requests(nil)) - met
	if most := 2 * 3 * (2 + math.Log2(1+time.Since(since).Seconds()/0.25)); float64(again) > most {
		t.Errorf("%d pods wait, and UFM got %d requests in %s", pods, again, time.Since(since))
	}
	t.Logf("%d requests while %d pods came, and %d in the %s behind them", met-before, pods, again, time.Since(since))
	for _, r := range f.requests(nil)[before:] {
		if r.Method == http.MethodDelete || strings.Contains(r.URL.Path, "remove") {
			t.Errorf("UFM was told to remove: %s %s", r.Method, r.URL.Path)
		}
	}
	f.stepIn(nil)
	var all []guid.GUID
	for i := range pods {
		all = append(all, w.configured(fmt.Sprintf("p%d", i))...)
	}
	w.undisturbed(all...)
	if adds := w.sim.Calls()[ufmsim.OpAdd]; adds > 4 {
		t.Errorf("%d pods of two partitions took %d adds", pods, adds)
	}
}

func TestDefect30AUFMThatStallsIsGivenUpAndAskedAgain(t *testing.T) {
	w := newWorld(t)
	f, env := w.ufmFront()
	w.network("rail1", "0x5")
	var reads, halves atomic.Int32
	f.stepIn(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodGet && reads.Add(1) == 1: // no answer at all
		case r.Method == http.MethodPost && halves.Add(1) == 1: // the beginning of one
			readAll(r)
			rw.Header().Set("Content-Length", "1000")
			_, _ = rw.Write([]byte(`{"half":`))
			_ = http.NewResponseController(rw).Flush()
		default:
			return false
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	w.lead(env, "--ufm-timeout=500ms")
	w.pod("a", "rail1")
	w.inUFM(0x5, w.configured("a")[0])
	if halves.Load() < 2 {
		t.Error("the add was answered the first time: the test proves nothing")
	}
}

func TestDefect31WhatConcernsNobodyIsNotLogged(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	w.lead(nil, "--sync-period=100ms", "--log-level=info")
	w.pod("none", "")
	w.pod("lan", "lan")
	w.pod("ours", "rail1")
	w.configured("ours")
	w.someRounds()
	before := len(w.lines())
	for _, name := range []string{"none", "lan", "ours"} {
		for i := range 20 {
			w.reannotate(name, func(a map[string]string) { a["somebody/beat"] = fmt.Sprint(i) })
		}
	}
	w.someRounds()
	for _, line := range w.lines()[before:] {
		if !w.othersPod(line) {
			t.Errorf("sixty changes that concern nobody: %v", line)
		}
	}
}

package control

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestDefect34WhatOthersWriteMeanwhileStands(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	var mu sync.Mutex
	var bodies []string
	var held atomic.Bool
	release := make(chan struct{})
	f.stepIn(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPodPatch(r) {
			mu.Lock()
			bodies = append(bodies, readAll(r))
			mu.Unlock()
			if held.CompareAndSwap(false, true) {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
		}
		return false
	})
	w.lead(env)
	w.pod("a", "", func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: `[{"name":"rail1"}]`, "other/owner": "before", "other/gone": "x"}
	})
	testbed.Eventually(t, "the controller sends what it made of the pod", func() (bool, string) { return held.Load(), "" })
	const lan = `{ "name": "lan",  "ips":["10.1.2.3/24"], "cni-args":{"odd": 1.50} }`
	w.reannotate("a", func(a map[string]string) {
		a["other/owner"] = "meanwhile"
		delete(a, "other/gone")
		a[attach.NetworksAnnotation] = `[{"name":"rail1"},` + lan + `]`
	})
	close(release)
	w.inUFMOf("a", 0, 0x5)
	got := w.get("a").Annotations
	if _, back := got["other/gone"]; back || got["other/owner"] != "meanwhile" {
		t.Errorf("another's annotations were written over: %v", got)
	}
	if !strings.HasSuffix(got[attach.NetworksAnnotation], `,`+lan+`]`) {
		t.Errorf("another's element was written over: %s", got[attach.NetworksAnnotation])
	}
	mu.Lock()
	defer mu.Unlock()
	if len(bodies) < 2 {
		t.Errorf("%d patches: the first should have failed its test", len(bodies))
	}
	for _, body := range bodies {
		if strings.Contains(body, "other/") || !strings.Contains(body, "/metadata/uid") {
			t.Errorf("a patch of more than is ours, or of whoever has that name: %s", body)
		}
	}
}

func TestAnInterfaceThatAnEditRenumbersLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	failures, _ := failing(math.MaxInt64, http.StatusInternalServerError, isPodPatch)
	f.stepIn(failures)
	w.lead(env)
	w.pod("a", "rail1")
	testbed.Eventually(t, "UFM has its member", func() (bool, string) { return len(w.members(0x5)) == 1, "" })
	w.reannotate("a", func(a map[string]string) { a[attach.NetworksAnnotation] = "lan,rail1" })
	f.stepIn(nil)
	w.inUFMOf("a", 1, 0x5)
}

func TestAnEditThereAndBackLeavesOneMember(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	w.network("rail2", "0x6")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	failures, _ := failing(math.MaxInt64, http.StatusInternalServerError, isPodPatch)
	f.stepIn(failures)
	w.lead(env)
	w.pod("a", "rail1,rail2")
	w.countInUFM(0x5, 1)
	w.countInUFM(0x6, 1)
	w.reannotate("a", func(a map[string]string) { a[attach.NetworksAnnotation] = "lan,rail1" }) // net2 is rail1's now
	w.countInUFM(0x6, 0)
	w.countInUFM(0x5, 1)
	w.reannotate("a", func(a map[string]string) { a[attach.NetworksAnnotation] = "rail1,rail2" })
	w.countInUFM(0x6, 1)
	f.stepIn(nil)
	w.inUFMOf("a", 0, 0x5)
	w.inUFMOf("a", 1, 0x6)
	w.deletePod("a")
	w.inUFM(0x5)
	w.inUFM(0x6)
}

func TestAnEditOfAPodThatWentOnTakesNothingFromIt(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	first := w.lead(nil)
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	guids := append(w.configured("a"), w.configured("b")...)
	w.reannotate("a", func(a map[string]string) { a[attach.NetworksAnnotation] = "lan" })
	w.someRounds()
	w.inUFM(0x5, guids...)
	first.stop()
	w.lead(nil)
	w.logged("leader.adopted", `count:2`)
	w.reannotate("b", func(a map[string]string) { a[attach.NetworksAnnotation] = "lan" })
	w.someRounds()
	w.inUFM(0x5, guids...)
	w.undisturbed(guids...)
}

func TestAGatedPodThatIsEditedUnderTheNextLeaderLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	w.rawNetwork("lan", `{"type":"macvlan"}`)
	failures, _ := failing(math.MaxInt64, http.StatusInternalServerError, isPodPatch)
	f.stepIn(failures)
	first := w.lead(env)
	w.pod("a", "rail1", gated("ibfabric.io/"+w.ns))
	w.countInUFM(0x5, 1)
	first.stop()
	w.reannotate("a", func(a map[string]string) { a[attach.NetworksAnnotation] = "lan,rail1" })
	w.lead(nil)
	w.inUFMOf("a", 1, 0x5)
}

// countInUFM waits until UFM shows so many members of a partition, whichever they are.
func (w *world) countInUFM(p pkey.PKey, n int) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("pkey %s has %d members", p, n), func() (bool, string) {
		have := w.members(p)
		return len(have) == n, fmt.Sprint(have)
	})
}

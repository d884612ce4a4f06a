package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestDefect19WhatACrashLeavesInUFMIsTakenUpOrTakenOut(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	f.stepIn(hanging(isPodPatch)) // between UFM's answer and the pod's
	first := w.lead(env, quick()...)
	w.pod("gone", "rail1")
	w.pod("kept", "rail1")
	testbed.Eventually(t, "UFM has both", func() (bool, string) { return len(w.members(0x5)) == 2, "" })
	first.kill()
	w.deletePod("gone") // nobody sees it
	w.succeed("--sync-period=300ms")
	kept := w.configured("kept")[0]
	w.inUFM(0x5, kept)
	w.undisturbed(kept)
	if rows := w.rows(); len(rows) != 2 || rows[kept.String()].Pod != "kept" {
		t.Errorf("the ledger says %v", rows)
	}
}

func TestDefect20AMemberGoesOutOfThePKeyItIsInWhateverItsNetworkSaysByThen(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	first := w.lead(nil)
	w.pod("a", "rail1")
	w.pod("b", "rail1")
	a, b := w.configured("a")[0], w.configured("b")[0]
	w.deleteNetwork("rail1")
	w.network("rail1", "0x9")
	w.event("a", "FabricNetworkChanged", "keeps pkey 0x5")
	w.deletePod("a") // under another network
	w.inUFM(0x5, b)
	w.deleteNetwork("rail1")
	first.stop()
	w.lead(nil)      // which never saw the network
	w.deletePod("b") // under none
	w.inUFM(0x5)
	w.inUFM(0x9)
	testbed.Eventually(t, "both GUIDs are held", func() (bool, string) {
		rows := w.rows()
		return rows[a.String()].State == "Held" && rows[b.String()].State == "Held", fmt.Sprint(rows)
	})
	for _, e := range w.sim.Journal() {
		if e.PKey != 0x5 {
			t.Errorf("UFM was told to change pkey %s: %+v", e.PKey, e)
		}
	}
}

func TestDefect21LivePodsStayWhereTheyAreWhenAnothersRemovalFails(t *testing.T) {
	w := newWorld(t)
	f, env := w.apiFront()
	w.network("rail1", "0x5")
	f.stepIn(hanging(func(r *http.Request) bool { return isPodPatch(r) && strings.HasSuffix(r.URL.Path, "/vanishes") }))
	const refusals = 3
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 500, Op: ufmsim.OpRemove, Count: refusals}); err != nil {
		t.Fatal(err)
	}
	w.lead(env, "--sync-period=100ms")
	var live []guid.GUID
	w.pod("vanishes", "rail1")
	for i := range 4 {
		w.pod(fmt.Sprintf("live%d", i), "rail1")
	}
	for i := range 4 {
		live = append(live, w.configured(fmt.Sprintf("live%d", i))...)
	}
	testbed.Eventually(t, "UFM has all five", func() (bool, string) { return len(w.members(0x5)) == 5, "" })
	w.deletePod("vanishes")
	w.inUFM(0x5, live...)
	w.someRounds()
	if n := w.sim.Calls()[ufmsim.OpRemove]; n <= refusals {
		t.Fatalf("UFM was told to remove %d times: the test proves nothing", n)
	}
	w.undisturbed(live...)
}

func TestDefect23EverySpellingOfAGUIDIsTheSameGUID(t *testing.T) {
	w := newWorld(t, func(c *ufmsim.Config) { c.Quirks.GUIDForm, c.Quirks.PaddedPKeys = "upper", true })
	w.network("rail1", "0x5")
	w.lead(nil, "--hold=200ms", "--sync-period=100ms")
	g := guid.GUID(0x02000000000000ab)
	for i, spelling := range []string{"02-00-00-00-00-00-00-AB", "02:00:00:00:00:00:00:Ab", "0x02000000000000AB", "0200:0000:0000:00aB"} {
		name := fmt.Sprintf("p%d", i)
		w.pod(name, "", annotated(`[{"name":"rail1","cni-args":{"guid":%q}}]`, spelling))
		w.configured(name) // and so was let go by the one before
		w.inUFM(0x5, g)
		w.deletePod(name)
		w.inUFM(0x5)
	}
}

func TestDefect24AGUIDInSeveralPartitionsIsKnownInEachOfThem(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5", attach.AlsoAnnotation, "0x20:limited,0x21:limited")
	first := w.lead(nil)
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	// An administrator puts it into a fourth, which is theirs.
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: g}}}); err != nil {
		t.Fatal(err)
	}
	first.stop()
	w.lead(nil, "--hold=100ms")
	w.pod("b", "rail1")
	b := w.configured("b")[0]
	for _, p := range []pkey.PKey{0x5, 0x20, 0x21} {
		w.inUFM(p, g, b)
	}
	w.deletePod("a")
	for _, p := range []pkey.PKey{0x5, 0x20, 0x21} {
		w.inUFM(p, b)
	}
	w.inUFM(0x66, g)
	w.someRounds() // the hold is over, and it still stands in one
	w.isHeld(g)
}

func TestDefect25AGUIDIsNotFreeBecauseUFMSaidSo(t *testing.T) {
	w := newWorld(t)
	f, env := w.ufmFront()
	w.network("rail1", "0x5")
	w.lead(env, "--guid-range-start=02:00:00:00:00:00:00:01", "--guid-range-end=02:00:00:00:00:00:00:01", "--hold=300ms", "--sync-period=100ms")
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	isRemove := func(r *http.Request) bool {
		return r.Method == http.MethodDelete || strings.HasSuffix(r.URL.Path, "remove_guids_from_pkey")
	}
	f.stepIn(func(rw http.ResponseWriter, r *http.Request) bool {
		if isRemove(r) {
			_, _ = rw.Write([]byte("{}")) // 200, and nothing was done
		}
		return isRemove(r)
	})
	w.deletePod("a")
	w.pod("b", "rail1")
	w.event("b", "FabricWaiting", "exhausted")
	testbed.Eventually(t, "UFM was told three times", func() (bool, string) { return len(f.requests(isRemove)) >= 3, "" })
	w.someRounds()
	w.notConfigured("b")
	w.inUFM(0x5, g)
	f.stepIn(nil)
	w.configured("b")
	var out, in time.Time
	for _, e := range w.sim.Journal() {
		switch {
		case e.Op == ufmsim.OpRemove && slices.ContainsFunc(e.Members, func(m pkey.Member) bool { return m.GUID == g }):
			out = e.Changed
		case e.Op == ufmsim.OpAdd && !out.IsZero():
			in = e.Received
		}
	}
	if in.Sub(out) < 300*time.Millisecond {
		t.Errorf("out at %s, in again for b at %s: the hold is 300ms", out, in)
	}
	if pod := w.get("b"); pod.Status.Phase == corev1.PodFailed {
		t.Error("b failed")
	}
}

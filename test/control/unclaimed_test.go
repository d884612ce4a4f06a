package control

import (
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// Fail-overs of UFM can bring a stranger's member and take it away again. Whoever gets its
// GUID too soon is taken for the stranger by all that still know it, whichever leader gave it.
func TestANextLeaderKnowsWhatStoodInUFMUnclaimed(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	const strange, next = guid.GUID(0x0200000000000000), guid.GUID(0x0200000000000001)
	full0 := pkey.Mode{Index0: true}
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: strange, Mode: full0}}}); err != nil {
		t.Fatal(err)
	}
	first := w.start(quick()...)
	w.logged("members.unclaimed", strange.String())
	w.logged("leader.adopted", "") // only then the next leader can know of it
	first.run.Kill()
	if err := w.sim.Wipe(); err != nil { // as a standby that never heard of it
		t.Fatal(err)
	}

	w.start()
	w.pod("a", "rail1")
	if g := w.configured("a")[0]; g != next {
		t.Errorf("it has %s, want %s: the other one is held", g, next)
	}
	w.pod("pins", "", pinned(w.ns, "rail1", strange.String()))
	w.event("pins", "FabricWaiting", "held")
}

// A fail-over brought a GUID of ours into another partition. Its own hold is over long before
// UFM is seen without that.
func TestAGUIDThatStoodElsewhereIsHeldFromThenOn(t *testing.T) {
	const hold = 2 * time.Second
	w := newWorld(t)
	w.network("rail1", "0x5")
	const g = guid.GUID(0x0200000000000001)
	w.lead(nil, "--guid-range-start="+g.String(), "--guid-range-end="+g.String(), "--hold="+hold.String())
	w.pod("a", "rail1")
	w.inUFM(0x5, w.configured("a")...)
	if err := w.sim.Preload(pkey.Partition{PKey: 0x66, Members: []pkey.Member{{GUID: g}}}); err != nil {
		t.Fatal(err)
	}
	w.logged("members.unclaimed", g.String())
	w.deletePod("a")
	w.isHeld(g)
	over := time.Now().Add(hold)
	w.pod("b", "rail1")
	w.event("b", "FabricWaiting", "exhausted")
	testbed.Eventually(t, "its own hold is over", func() (bool, string) { return time.Now().After(over), "" })
	before, gone := len(w.sim.Journal()), time.Now()
	if err := w.sim.Wipe(); err != nil {
		t.Fatal(err)
	}
	w.configured("b")
	for _, e := range w.sim.Journal()[before:] {
		if e.Op == ufmsim.OpAdd && e.Received.Before(gone.Add(hold)) {
			t.Errorf("it was given again %s after it had stood in 0x66", e.Received.Sub(gone))
		}
	}
}

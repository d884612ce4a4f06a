package control

import (
	"testing"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
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

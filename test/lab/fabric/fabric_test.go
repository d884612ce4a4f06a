package fabric

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ibfabric/ibfabric/guid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the deadline of everything that is waited for: far more than it takes.
const patience = 3 * time.Minute

// small is a fabric for tests that need a few ports.
func small() Topology { return Topology{Leaves: 2, Spines: 2, Hosts: 2, VFs: 2} }

// newFabric is ibsim, without OpenSM.
func newFabric(t *testing.T, c Config) *Fabric {
	t.Helper()
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: the lab fetches OpenSM and ibsim; make lab runs it (IBFABRIC_LAB=1)")
	}
	tools, err := Prepare(t.Context(), "")
	if errors.Is(err, ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), tools, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func startSM(t *testing.T, f *Fabric) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.StartSM(ctx); err != nil {
		t.Fatal(err)
	}
}

// table is what stands in a port's PKey table now.
func table(t *testing.T, f *Fabric, g guid.GUID) []uint16 {
	t.Helper()
	got, err := f.PKeys(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantTable compares what is in the table: which place OpenSM gives to an entry depends
// on what the port had before.
func wantTable(t *testing.T, f *Fabric, g guid.GUID, want ...uint16) {
	t.Helper()
	got := slices.DeleteFunc(table(t, f, g), func(entry uint16) bool { return entry == 0 })
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("PKey table of %s (-want +got):\n%s", g, diff)
	}
}

func wantIndex0(t *testing.T, f *Fabric, g guid.GUID, want uint16) {
	t.Helper()
	if got := table(t, f, g); got[0] != want {
		t.Errorf("PKey table of %s is %#x, want %#x at index 0", g, got, want)
	}
}

// waitTable is for what no answer promises a moment of.
func waitTable(t *testing.T, f *Fabric, g guid.GUID, want ...uint16) {
	t.Helper()
	var got []uint16
	eventually(t, func() bool {
		var err error
		got, err = f.PKeys(t.Context(), g)
		return err == nil && cmp.Equal(got, want)
	}, func() any { return got })
}

func eventually(t *testing.T, so func() bool, seen func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if until(ctx, func() (bool, error) { return so(), nil }) != nil {
		t.Fatalf("it did not come to be; last seen: %v", seen())
	}
}

func TestAFabricWithoutPartitionsIsOpen(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	startSM(t, f)
	for _, p := range []Port{small().VFPort(0, 0), small().VFPort(3, 1), {SM, smGUID}} {
		wantTable(t, f, p.GUID, 0xffff)
	}
}

func TestAPortThatTakesAnotherGUIDIsFoundByOpenSM(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	startSM(t, f)
	// Consecutive ones, as pods get them: the node GUID of one is the port GUID of another.
	for vf, g := range []guid.GUID{0x0200_0000_0000_0000, 0x0200_0000_0000_0001} {
		if err := f.SetGUID(t.Context(), VFName(2, vf), g); err != nil {
			t.Fatal(err)
		}
		waitTable(t, f, g, 0xffff)
	}
	wantTable(t, f, 0x0200_0000_0000_0000, 0xffff)
	eventually(t, func() bool {
		_, err := f.PKeys(t.Context(), small().VFPort(2, 0).GUID)
		return err != nil
	}, func() any { return "the former GUID still answers" })
}

func TestAnUnknownPortIsAnErrorThatNamesIt(t *testing.T) {
	f := newFabric(t, Config{Topology: small()})
	startSM(t, f)
	if err := f.SetGUID(t.Context(), "nobody", 0x0200_0000_0000_0000); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
	if _, err := f.PKeys(t.Context(), 0x42); err == nil || !strings.Contains(err.Error(), guid.GUID(0x42).String()) {
		t.Error(err)
	}
}

func TestATableIsReadUpToItsLastEntry(t *testing.T) {
	got, err := parseTable("   0: 0x8010 0x7fff 0x0000 0x0020 0x0000 0x0000 0x0000 0x0000\n   8: 0x0000 0x0000\n64 pkeys capacity for this port\n")
	if diff := cmp.Diff([]uint16{0x8010, 0x7fff, 0, 0x20}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "nothing", "0: 0x12345", "0: x"} {
		if got, err := parseTable(bad); err == nil {
			t.Errorf("%q was read as %x", bad, got)
		}
	}
}

package txn

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

func TestADeviceInUseIsNotClaimed(t *testing.T) {
	w := newWorld(t)
	rec := w.record("c1")
	if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if err := w.Claim(t.Context(), w.record("c2")); !errors.As(err, &inUse) || inUse.Holder.ContainerID != "c1" {
		t.Errorf("got %v", err)
	}
	if len(w.state) != 3 {
		t.Errorf("the holder's state is now %v", w.state)
	}
}

func TestAClaimUndoesWhatNobodyUses(t *testing.T) {
	for name, spoil := range map[string]func(*world, *record.Record){
		"its namespace is gone": func(w *world, r *record.Record) { w.kernel.EndNetNS(host.NetNS(r.NetNS)) },
		"it was not completed":  func(w *world, r *record.Record) { r.Ready = false; _ = w.Store.Write(r) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.record("c1")
			if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
				t.Fatal(err)
			}
			spoil(w, rec)
			if err := w.Claim(t.Context(), w.record("c2")); err != nil {
				t.Fatal(err)
			}
			w.clean()
		})
	}
}

func TestATornRecordDoesNotTakeTheDeviceFromWhoHasIt(t *testing.T) {
	w := newWorld(t)
	if err := w.Apply(t.Context(), w.record("c1"), w.steps()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.Store.Dir(), "a0@net1@0000:17:00.2.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if err := w.Claim(t.Context(), w.record("c2")); !errors.As(err, &inUse) || len(w.state) != 3 {
		t.Errorf("got %v, state %v", err, w.state)
	}
}

func TestAnEarlierTryOfTheSameAttachmentIsUndoneWhicheverDeviceItHad(t *testing.T) {
	w := newWorld(t)
	if err := w.Apply(t.Context(), w.record("c1"), w.steps()); err != nil {
		t.Fatal(err)
	}
	again := w.record("c1")
	again.Device = "0000:17:00.3"
	if err := w.Claim(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	w.clean()
}

func TestAnAddressThatCannotBeGivenBackDoesNotKeepTheDevice(t *testing.T) {
	w := newWorld(t)
	rec := w.record("c1")
	if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
		t.Fatal(err)
	}
	w.kernel.EndNetNS(host.NetNS(rec.NetNS))
	w.fail["undo address"] = errors.New("the IPAM daemon is away")
	if err := w.Claim(t.Context(), w.record("c2")); err != nil {
		t.Errorf("claim: %v", err)
	}
	if left := w.records(); len(left) != 1 || !slices.Equal(left[0].Steps, []string{"address"}) {
		t.Errorf("left: %+v; the address must be remembered", left)
	}
	w.fail["undo a"] = errors.New("stuck")
	if err := w.Apply(t.Context(), w.record("c2"), w.steps()); err != nil {
		t.Fatal(err)
	}
	w.kernel.EndNetNS(host.NetNS("/var/run/netns/c2"))
	if err := w.Claim(t.Context(), w.record("c3")); !errors.Is(err, w.fail["undo a"]) {
		t.Errorf("a device that cannot be put right was claimed: %v", err)
	}
}

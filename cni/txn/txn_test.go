package txn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

func TestTheRecordIsOnTheDiskBeforeTheFirstChange(t *testing.T) {
	w := newWorld(t)
	var seen []*record.Record
	first := Step{Name: "first", Do: func(context.Context) error { seen = w.records(); return nil }}
	if err := w.Apply(t.Context(), w.record("c1"), append([]Step{first}, w.steps()...)); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Ready || seen[0].BootID != "boot-1" {
		t.Fatalf("at the first step the store had %+v", seen)
	}
	if diff := cmp.Diff([]string{"first", "a", "b", "address"}, seen[0].Steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if after := w.records(); len(after) != 1 || !after[0].Ready {
		t.Errorf("afterwards it has %+v", after)
	}
}

func TestAFailedStepUndoesItselfAndThoseBeforeItFromTheLast(t *testing.T) {
	w := newWorld(t)
	w.fail["do b"] = errors.New("no")
	err := w.Apply(t.Context(), w.record("c1"), w.steps())
	if !errors.Is(err, w.fail["do b"]) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"do a", "do b", "undo b", "undo a"}, w.done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.clean()
}

func TestWhatCannotBeUndoneStaysInTheRecordAndTheRestIsUndone(t *testing.T) {
	w := newWorld(t)
	rec := w.record("c1")
	if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
		t.Fatal(err)
	}
	w.fail["undo b"] = errors.New("busy")
	if err := w.Revert(t.Context(), rec); !errors.Is(err, w.fail["undo b"]) {
		t.Errorf("got %v", err)
	}
	left := w.records()
	if diff := cmp.Diff(map[string]bool{"b": true}, w.state); diff != "" || len(left) != 1 || left[0].Ready || !slices.Equal(left[0].Steps, []string{"a", "b"}) {
		t.Errorf("record %+v (want the device's steps together), state (-want +got):\n%s", left, diff)
	}
	delete(w.fail, "undo b")
	if err := w.Revert(t.Context(), left[0]); err != nil {
		t.Fatal(err)
	}
	w.clean()
}

func TestACancelledCallIsUndoneNevertheless(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	list := w.steps()
	list[1].Do = func(context.Context) error { cancel(); return nil }
	list[1].Undo = func(ctx context.Context) error { return ctx.Err() }
	if err := w.Apply(ctx, w.record("c1"), list); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.clean()
}

// An IPAM daemon that hangs must not cost the device its way home.
func TestWhatHangsOnTheDiskLeavesTheDeviceItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hangs := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		takesTime := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(w.UndoTime * 2 / 5):
				delete(w.state, "b")
				return nil
			}
		}
		w.Steps = func(*record.Record) []Step {
			list := w.steps()
			list[1].Undo, list[2].Undo = takesTime, hangs
			return list
		}
		rec := w.record("c1")
		if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
			t.Fatal(err)
		}
		if err := w.Revert(t.Context(), rec); err == nil || !strings.Contains(err.Error(), "undoing address: it was not done within 30s") {
			t.Errorf("got %v", err)
		}
		if left := w.records(); len(left) != 1 || !slices.Equal(left[0].Steps, []string{"address"}) || w.state["a"] || w.state["b"] {
			t.Errorf("left: %+v, state %v; want the address alone", left, w.state)
		}
	})
}

func TestARebootLeavesOnlyWhatIsOnTheDiskToUndo(t *testing.T) {
	w := newWorld(t)
	rec := w.record("c1")
	if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
		t.Fatal(err)
	}
	w.kernel.Reboot()
	w.done = nil
	if err := w.Revert(t.Context(), w.records()[0]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"undo address"}, w.done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.records()) != 0 {
		t.Error("the record is still there")
	}
}

func TestATornRecordIsUndoneInAllItsSteps(t *testing.T) {
	w := newWorld(t)
	rec := w.record("c1")
	if err := w.Apply(t.Context(), rec, w.steps()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.Store.Dir(), "c1@net1@0000:17:00.2.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Claim(t.Context(), w.record("c2")); err != nil {
		t.Fatal(err)
	}
	w.clean()
}

func TestWhatIsKeptForAnotherTryIsUndoneWhenItIsReleased(t *testing.T) {
	w := newWorld(t)
	w.Kept = record.NewStore(t.TempDir())
	until := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	w.KeepUntil = func() time.Time { return until }
	list := func() []Step {
		l := w.steps()
		l[1].Keep = true // a is the device's own, b is kept, the address is not
		return l
	}
	w.Steps = func(*record.Record) []Step { return list() }
	for name, why := range map[string]error{"not ready": &PendingError{errors.New("not yet")}, "broken": errors.New("no")} {
		w.fail["do address"] = why
		if err := w.Apply(t.Context(), w.record("c1"), list()); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		kept, err := w.Kept.All()
		if err != nil || len(w.records()) != 0 {
			t.Errorf("%s: %v, records %v", name, err, w.records())
		}
		if name == "broken" {
			if len(kept) != 0 {
				t.Errorf("kept %+v after an error of the node", kept)
			}
			w.clean()
			continue
		}
		if len(kept) != 1 || !slices.Equal(kept[0].Steps, []string{"a", "b"}) || !kept[0].Until.Equal(until) || !w.state["b"] || w.state["address"] {
			t.Fatalf("kept %+v, state %v", kept, w.state)
		}
		if err := w.Release(t.Context(), kept[0]); err != nil {
			t.Fatal(err)
		}
		w.clean()
		if left, _ := w.Kept.All(); len(left) != 0 {
			t.Errorf("still kept: %+v", left)
		}
	}
}

// The path of a dead pod's namespace is another pod's by now, whoever undoes.
func TestNothingIsUndoneInAnotherNamespaceAtThePath(t *testing.T) {
	for name, fails := range map[string]bool{"by an ADD that fails": true, "by the next call": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.record("c1")
			ns := host.NetNS(rec.NetNS)
			rec.NetNSID, _ = w.kernel.NetNSID(t.Context(), ns)
			var undoneIn []string
			step := Step{
				Name: "a",
				Do: func(context.Context) error {
					w.kernel.EndNetNS(ns)
					w.kernel.NewNetNS("c1")
					if fails {
						return errors.New("refused")
					}
					return nil
				},
				Undo: func(context.Context) error { undoneIn = append(undoneIn, rec.NetNS); return nil },
			}
			w.Steps = func(*record.Record) []Step { return []Step{step} }
			if err := w.Apply(t.Context(), rec, []Step{step}); (err != nil) != fails {
				t.Fatal(err)
			}
			if !fails {
				if err := w.Revert(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(undoneIn, []string{""}) {
				t.Errorf("it was undone in %q", undoneIn)
			}
		})
	}
}

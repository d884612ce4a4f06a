package txn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/record"
)

// world is a node whose state is a set of words; step x puts x into it.
type world struct {
	*Engine
	t      *testing.T
	kernel *hostfake.Kernel
	state  map[string]bool
	fail   map[string]error // by "do x" and "undo x"
	done   []string
}

var steps = []string{"a", "b", "address"}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kernel: hostfake.New(hostfake.Options{}), state: map[string]bool{}, fail: map[string]error{}}
	w.Engine = &Engine{
		Store: record.NewStore(t.TempDir()), Node: w.kernel, Log: zap.NewNop(),
		Steps: func(*record.Record) []Step { return w.steps() }, UndoTime: time.Minute,
	}
	return w
}

func (w *world) steps() []Step {
	var list []Step
	for _, name := range steps {
		list = append(list, Step{
			Name: name, OnDisk: name == "address",
			Do:   func(context.Context) error { return w.act("do "+name, func() { w.state[name] = true }) },
			Undo: func(context.Context) error { return w.act("undo "+name, func() { delete(w.state, name) }) },
		})
	}
	return list
}

// act changes the state by half before it fails, as real steps do.
func (w *world) act(what string, f func()) error {
	w.done = append(w.done, what)
	if err := w.fail[what]; err != nil {
		if what[0] == 'd' {
			f()
		}
		return err
	}
	f()
	return nil
}

func (w *world) record(container string) *record.Record {
	ns := w.kernel.NewNetNS(container)
	return &record.Record{ContainerID: container, IfName: "net1", Device: "0000:17:00.2", NetNS: string(ns)}
}

func (w *world) records() []*record.Record {
	w.t.Helper()
	all, err := w.Store.All()
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) clean() {
	w.t.Helper()
	if len(w.state) != 0 || len(w.records()) != 0 {
		w.t.Errorf("left behind: state %v, records %v", w.state, w.records())
	}
}

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

func TestALockIsWaitedForUntilTheDeadline(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := Locks{Dir: dir, Wait: 30 * time.Second}
		release, err := l.Device(t.Context(), "0000:17:00.2")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := l.Device(t.Context(), "0000:17:00.3"); err != nil {
			t.Errorf("another device: %v", err)
		} else {
			other()
		}
		var busy *BusyError
		if _, err := l.Device(t.Context(), "0000:17:00.2"); !errors.As(err, &busy) || busy.Waited != l.Wait {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, fmt.Errorf("the runtime gave up"))
		defer cancel()
		if _, err := l.Device(ctx, "0000:17:00.2"); err == nil || !strings.Contains(err.Error(), "the runtime gave up") {
			t.Errorf("cancelled: %v", err)
		}
		time.AfterFunc(5*time.Second, release)
		again, err := l.Device(t.Context(), "0000:17:00.2")
		if err != nil {
			t.Fatal(err)
		}
		again()
	})
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

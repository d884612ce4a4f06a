package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestALedgerThatIsDeletedComesBackAlsoWhileUFMIsAway(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.start()
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	fault, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503})
	if err != nil {
		t.Fatal(err)
	}
	w.logged("ufm.unavailable", "")
	if err := w.api.DeleteAllOf(t.Context(), &v1alpha1.Ledger{}, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the row is back", func() (bool, string) {
		rows := w.rows()
		return rows[g.String()].Pod == "a", fmt.Sprint(rows)
	})
	w.sim.ClearFaults(fault)
	w.inUFM(0x5, g)
}

// tend is a round of a leader that has nothing else to do.
func tend(t *testing.T, s *ledger.Store, now time.Time) {
	t.Helper()
	if err := errors.Join(s.Tend(t.Context(), now), s.CommitAll(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestWhatSomebodyDidToTheLedgerIsPutRight(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	a.Ledger.Put(row(1, "deleted", 0x5))
	a.Ledger.Put(row(2, "changed", 0x6))
	a.Ledger.Put(row(3, "left alone", 0x7))
	tend(t, a, time.Unix(2000, 0))
	shard := func(name string) *v1alpha1.Ledger {
		var l v1alpha1.Ledger
		if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &l); err != nil {
			t.Fatal(err)
		}
		return &l
	}
	quiet := shard("f-0x7-0").ResourceVersion
	spoilt, stranger := shard("f-0x6-0"), shard("f-0x5-0")
	spoilt.Spec.Rows = nil
	stranger.Name, stranger.ResourceVersion, stranger.Spec.Leader = "f-0x5-9", "", "a former one"
	stranger.Spec.Rows[0].GUID, stranger.Spec.Rows[0].PodUID = guid.GUID(4).String(), "stranger"
	if err := errors.Join(w.api.Delete(t.Context(), shard("f-0x5-0")), w.api.Update(t.Context(), spoilt), w.api.Create(t.Context(), stranger)); err != nil {
		t.Fatal(err)
	}
	var found []ledger.Row
	a.Found = func(rows []ledger.Row, _ error) { found = append(found, rows...) }
	tend(t, a, time.Unix(2060, 0))
	b := w.store("b")
	load(t, b)
	for _, r := range []struct {
		g   guid.GUID
		uid types.UID
	}{{1, "deleted"}, {2, "changed"}, {3, "left alone"}, {4, "stranger"}} {
		if got, ok := b.Ledger.Get(r.g); !ok || got.UID != r.uid {
			t.Errorf("guid %d of %q: the next leader reads %+v", r.g, r.uid, got)
		}
	}
	if len(found) != 1 || found[0].GUID != 4 {
		t.Errorf("of rows that somebody else wrote the leader heard %+v", found)
	}
	if now := shard("f-0x7-0").ResourceVersion; now != quiet {
		t.Error("a shard was written that nobody had touched")
	}
}

func TestAShardThatHasLongBeenEmptyIsDeleted(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	at := time.Unix(2000, 0)
	later := func(d time.Duration) { at = at.Add(d); tend(t, a, at) }
	a.Ledger.Put(row(1, "x", 0x5))
	a.Ledger.Put(row(2, "y", 0x6))
	a.Ledger.SetUnclaimed([]guid.GUID{9})
	later(0)
	a.Ledger.Drop(1)
	later(0)
	later(59 * time.Minute)
	if n := w.shards(); n != 3 {
		t.Errorf("%d shards before the hour is over, want 3", n)
	}
	a.Ledger.Put(row(1, "x", 0x5)) // the next pod came in time
	later(2 * time.Minute)
	a.Ledger.Drop(1)
	later(0)
	later(time.Minute)
	if n := w.shards(); n != 3 {
		t.Errorf("%d shards, want 3: one was in use a minute ago", n)
	}
	later(time.Hour)
	if n := w.shards(); n != 2 {
		t.Errorf("%d shards, want 2: that of the live row, and what is unclaimed", n)
	}
	a.Ledger.Put(row(3, "z", 0x5))
	later(0)
	b := w.store("b")
	load(t, b)
	if _, ok := b.Ledger.Get(3); !ok || len(b.Ledger.Unclaimed()) != 1 {
		t.Error("a row of that partition was not stored again")
	}
}

func TestAShardIntoWhichARowCameWhileOthersWereDeletedStays(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	for i := range guid.GUID(3) {
		a.Ledger.Put(row(i+1, fmt.Sprint(i), pkey.PKey(i+5)))
	}
	tend(t, a, time.Unix(2000, 0))
	for i := range guid.GUID(3) {
		a.Ledger.Drop(i + 1)
	}
	for range 2 { // they are stored so, and seen to be empty
		tend(t, a, time.Unix(2001, 0))
	}
	a.Client = &during{Client: w.api, deletes: func(name string) {
		if name == "f-0x5-0" { // the first; the others are seen to be empty
			a.Ledger.Put(row(9, "next", 0x7))
			if err := a.Commit(t.Context(), []guid.GUID{9}); err != nil {
				t.Error(err)
			}
		}
	}}
	if err := a.Tend(t.Context(), time.Unix(2001, 0).Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r, _ := a.Ledger.Get(9); !r.Told {
		t.Fatal("the row was not stored: the test proves nothing")
	}
	b := w.store("b")
	load(t, b)
	if _, ok := b.Ledger.Get(9); !ok || w.shards() != 1 {
		t.Errorf("UFM may hear of a row that is not there; of 3 shards %d are left", w.shards())
	}
}

// during is a client whose writes take a moment, in which something happens.
type during struct {
	client.Client
	updates func()
	deletes func(name string)
}

func (d *during) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	if d.updates != nil {
		d.updates()
	}
	return d.Client.Update(ctx, obj, opts...)
}

func (d *during) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	if d.deletes != nil {
		d.deletes(obj.GetName())
	}
	return d.Client.Delete(ctx, obj, opts...)
}

func TestAGUIDThatCameBackWhileItsHoldWasStoredIsStoredAgain(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	a.Ledger.Put(row(1, "x", 0x5))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Client = &during{Client: w.api, updates: func() { a.Ledger.Return(1, time.Unix(3000, 0)) }}
	a.Ledger.Leave("x", "", "", time.Unix(2000, 0))
	a.Ledger.Out(0x5, []guid.GUID{1}, time.Unix(2000, 500))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Ledger.Only([]guid.GUID{1}, ledger.Row.WasReturned)); n != 1 {
		t.Error("the API server has it held, and the next change of UFM does not wait until that is put right")
	}
}

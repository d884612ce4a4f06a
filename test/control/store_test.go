package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// The ledger's store, against a real API server.

func (w *world) store(leader string) *ledger.Store {
	return &ledger.Store{
		Ledger: ledger.New(), Client: w.api, Namespace: w.ns, Fabric: "f", Leader: leader,
		Leading:      func() error { return nil },
		StillLeading: func(context.Context) error { return nil },
	}
}

func load(t *testing.T, s *ledger.Store) {
	t.Helper()
	if spoilt, err := s.Load(t.Context()); err != nil || spoilt != nil {
		t.Fatalf("load: %v, spoilt: %v", err, spoilt)
	}
}

func row(g guid.GUID, uid string, pkeys ...pkey.PKey) ledger.Row {
	r := ledger.Row{
		GUID: g, UID: types.UID(uid), Pod: types.NamespacedName{Namespace: "ns", Name: "pod-" + uid}, Interface: "net1",
		Network: types.NamespacedName{Namespace: "ns", Name: "rail1"}, Since: time.Unix(1000, 0),
	}
	for i, p := range pkeys {
		r.Claims = append(r.Claims, attach.Claim{PKey: p, Mode: pkey.Mode{Index0: i == 0, Membership: pkey.Membership(min(i, 1))}, IPoIB: true})
	}
	return r
}

func TestTheNextLeaderReadsWhatTheLastOneWrote(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	for i := range guid.GUID(300) { // three shards
		a.Ledger.Put(row(i+1, fmt.Sprint(i), 0x5))
	}
	a.Ledger.Put(row(9001, "two", 0x6, 0x20))
	a.Ledger.Put(row(9002, "none"))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := w.store("b")
	load(t, b)
	if n := len(b.Ledger.All()); n != 302 {
		t.Errorf("%d rows came back", n)
	}
	r, ok := b.Ledger.Get(9001)
	if !ok || !r.Told || len(r.Claims) != 2 || r.Claims[1].Membership != pkey.Limited || !r.Claims[0].Index0 || r.Pod.Name != "pod-two" {
		t.Errorf("the row came back as %+v", r)
	}
	var list v1alpha1.LedgerList
	if err := w.api.List(t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 5 {
		t.Errorf("%d shards, want 3 of 0x5, one of 0x6, one of none", len(list.Items))
	}
}

func TestAWriteOfAFormerLeaderFails(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	a.Ledger.Put(row(1, "old", 0x5))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := w.store("b")
	load(t, b)
	if err := b.CommitAll(t.Context()); err != nil { // writes its name into every shard
		t.Fatal(err)
	}
	deposed := errors.New("b leads")
	a.StillLeading = func(context.Context) error { return deposed }
	a.Ledger.Put(row(2, "late", 0x5))
	if err := a.Commit(t.Context(), []guid.GUID{2}); !errors.Is(err, deposed) {
		t.Errorf("the former leader's write: %v", err)
	}
	c := w.store("c")
	load(t, c)
	if _, ok := c.Ledger.Get(2); ok {
		t.Error("it came through")
	}
}

// A shard that is new has no version for the other leader to have changed.
func TestAFormerLeaderMakesNoNewShard(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	deposed := errors.New("b leads")
	a.StillLeading = func(context.Context) error { return deposed }
	a.Ledger.Put(row(1, "late", 0x5))
	if err := a.CommitAll(t.Context()); !errors.Is(err, deposed) {
		t.Errorf("the former leader's write: %v", err)
	}
	if n := w.shards(); n != 0 {
		t.Errorf("%d shards came through", n)
	}
}

func (w *world) shards() int {
	w.t.Helper()
	var list v1alpha1.LedgerList
	if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	return len(list.Items)
}

// forgetful is a client whose writes come through while their answers are lost.
type forgetful struct {
	client.Client
	lose int
}

func (f *forgetful) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return f.lost(f.Client.Update(ctx, obj, opts...))
}

func (f *forgetful) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return f.lost(f.Client.Create(ctx, obj, opts...))
}

func (f *forgetful) lost(err error) error {
	if f.lose > 0 && err == nil {
		f.lose--
		return errors.New("connection reset")
	}
	return err
}

func TestALostAnswerOfTheAPIServerDoesNoHarm(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	f := &forgetful{Client: w.api, lose: 1}
	a.Client = f
	load(t, a)
	a.Ledger.Put(row(1, "x", 0x5))
	if err := a.CommitAll(t.Context()); err == nil {
		t.Fatal("no answer was lost: the test proves nothing")
	}
	if r, _ := a.Ledger.Get(1); r.Told || !r.Sent {
		t.Errorf("the row is told %v, sent %v", r.Told, r.Sent)
	}
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.lose = 1
	a.Ledger.Drop(1)
	_ = a.CommitAll(t.Context())
	a.Ledger.Put(row(2, "y", 0x5))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Ledger.Get(1); ok {
		t.Error("a dropped row came back")
	}
}

func TestALedgerDeletedByHandIsWrittenAgain(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	a.Ledger.Put(row(1, "x", 0x5))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.api.DeleteAllOf(t.Context(), &v1alpha1.Ledger{}, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	a.Ledger.Put(row(2, "y", 0x5))
	if err := a.Commit(t.Context(), []guid.GUID{2}); err != nil {
		t.Fatal(err)
	}
	b := w.store("b")
	load(t, b)
	if n := len(b.Ledger.All()); n != 2 {
		t.Errorf("%d rows are there", n)
	}
}

func TestAHeldRowThatCameBackIsNotHeldForTheNextLeader(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	a.Ledger.Put(row(1, "x", 0x5))
	a.Ledger.Leave("x", "", "", time.Unix(2000, 0))
	a.Ledger.Out(0x5, []guid.GUID{1}, time.Unix(2000, 500))
	if err := a.CommitAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := w.store("b")
	load(t, b)
	if r, _ := b.Ledger.Get(1); r.State != ledger.Held || r.Since.Before(time.Unix(2000, 500)) {
		t.Errorf("held since %s, stored as %s: the hold became shorter", time.Unix(2000, 500), r.Since)
	}
	a.Ledger.Return(1, time.Unix(3000, 0))
	back := a.Ledger.Only([]guid.GUID{1}, ledger.Row.WasReturned)
	if err := a.Commit(t.Context(), back); err != nil || len(back) != 1 {
		t.Fatalf("%d rows came back, %v", len(back), err)
	}
	c := w.store("c")
	load(t, c)
	if r, _ := c.Ledger.Get(1); r.State != ledger.Assigned {
		t.Errorf("UFM shows it again, and the next leader reads %+v", r)
	}
	if again := a.Ledger.Only([]guid.GUID{1}, ledger.Row.WasReturned); len(again) != 0 {
		t.Error("it is stored, and would be stored with every pass")
	}
}

func TestRowsPutDuringAWriteAreNotTakenForStored(t *testing.T) {
	w := newWorld(t)
	a := w.store("a")
	load(t, a)
	var wg sync.WaitGroup
	for i := range guid.GUID(40) {
		wg.Go(func() {
			r := row(i+1, fmt.Sprint(i), 0x5)
			a.Ledger.Put(r)
			if err := a.Commit(t.Context(), []guid.GUID{r.GUID}); err != nil {
				t.Error(err)
			}
			b := w.store("b")
			load(t, b)
			if _, ok := b.Ledger.Get(r.GUID); !ok {
				t.Errorf("guid %s was committed and is not stored", r.GUID)
			}
		})
	}
	wg.Wait()
}

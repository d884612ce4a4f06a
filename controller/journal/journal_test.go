package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// shelf is an API server that has Journals.
type shelf struct {
	client.Client            // nobody asks for the rest
	mu            sync.Mutex // protects what follows
	objects       map[string]*v1alpha1.Journal
	writes        int
	down          error
}

func newShelf() *shelf { return &shelf{objects: map[string]*v1alpha1.Journal{}} }

func kind() schema.GroupResource {
	return schema.GroupResource{Group: "ibfabric.io", Resource: "journals"}
}

func (s *shelf) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, obj := range s.objects {
		if !strings.HasSuffix(name, ".head") {
			into.(*v1alpha1.JournalList).Items = append(into.(*v1alpha1.JournalList).Items, *obj.DeepCopyObject().(*v1alpha1.Journal))
		}
	}
	return s.down
}

func (s *shelf) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, ok := s.objects[key.Name]
	if !ok {
		return apierrors.NewNotFound(kind(), key.Name)
	}
	*into.(*v1alpha1.Journal) = *obj.DeepCopyObject().(*v1alpha1.Journal)
	return s.down
}

func (s *shelf) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.objects[obj.GetName()]; there {
		return apierrors.NewAlreadyExists(kind(), obj.GetName())
	}
	return s.store(obj)
}

func (s *shelf) Update(_ context.Context, obj client.Object, _ ...client.UpdateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, there := s.objects[obj.GetName()]
	switch {
	case !there:
		return apierrors.NewNotFound(kind(), obj.GetName())
	case have.ResourceVersion != obj.GetResourceVersion():
		return apierrors.NewConflict(kind(), obj.GetName(), errors.New("changed"))
	}
	return s.store(obj)
}

// written is how many writes it took.
func (s *shelf) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *shelf) store(obj client.Object) error {
	if s.down != nil {
		return s.down
	}
	s.writes++
	obj.SetResourceVersion(fmt.Sprint(s.writes))
	s.objects[obj.GetName()] = obj.DeepCopyObject().(*v1alpha1.Journal)
	return nil
}

// keeper is a leader's store and its book. It must be made in a bubble.
func keeper(s *shelf, leader string) (*Book, *Store, *[]error) {
	book := NewBook(leader, time.Now)
	failed := &[]error{}
	return book, &Store{
		Book: book, Client: s, Namespace: "ns", Fabric: "f", Leader: leader, Leading: func() error { return nil },
		Failed: func(err error) { *failed = append(*failed, err) }, After: time.After,
		Console: func() *v1alpha1.JournalConsole {
			return &v1alpha1.JournalConsole{Address: leader + ":8443", Port: 8443}
		},
	}, failed
}

func added(p pkey.PKey, guids ...guid.GUID) Entry {
	e := Entry{Verb: Add, PKey: p, Outcome: Done, From: "ufm1", Why: "pods", Membership: "full", Took: 3 * time.Millisecond}
	e.Name(guids, []types.NamespacedName{{Namespace: "team", Name: "train-0"}})
	return e
}

func all(b *Book) []*Entry { return b.Before(0, 1<<20, func(*Entry) bool { return true }) }

func TestTheNextLeaderHasWhatTheLastOneStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShelf()
		first, store, failed := keeper(api, "first")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = store.Start(ctx) }()
		synctest.Wait()
		if head := api.objects["f.head"]; head == nil || head.Spec.Leader != "first" || head.Spec.Console.Address != "first:8443" {
			t.Fatalf("the head is %+v", head)
		}
		writes := api.written()
		time.Sleep(time.Hour)
		if api.written() != writes {
			t.Errorf("%d writes while there was nothing to store", api.written()-writes)
		}
		for i := range 1000 { // as fast as UFM answers
			first.Note(added(pkey.PKey(5+i%3), guid.GUID(i+1), guid.GUID(i+2)))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(Every + time.Second)
		// Fifty seconds are ten writes, and a few for pages that got full.
		if n := api.written() - writes; n > 20 {
			t.Errorf("a thousand changes were %d writes", n)
		}
		first.Note(added(9, 77)) // and the process is told to stop at once
		stop()
		synctest.Wait()
		if len(*failed) > 0 {
			t.Errorf("failed: %v", *failed)
		}

		second, store, _ := keeper(api, "second")
		second.Note(added(10, 78)) // before it has read anything
		ctx, stop = context.WithCancel(t.Context())
		go func() { _ = store.Start(ctx) }()
		synctest.Wait()
		want, got := all(first), all(second)
		if len(got) != len(want)+1 || got[0].PKey != 10 || got[0].ID != want[0].ID+1 || got[0].Leader != "second" {
			t.Fatalf("%d entries of %d, the last %+v", len(got), len(want), got[0])
		}
		opts := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Millisecond })
		if diff := cmp.Diff(want, got[1:], opts); diff != "" {
			t.Errorf("(-noted +read):\n%s", diff)
		}
		stop()
		synctest.Wait()
	})
}

func TestTheJournalIsBoundedAndTheNewestStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShelf()
		book, store, _ := keeper(api, "leader")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = store.Start(ctx) }()
		synctest.Wait()
		for i := range 4 * maxEntries {
			book.Note(added(5, guid.GUID(i*2+1), guid.GUID(i*7+1)))
			if i%100 == 99 {
				time.Sleep(Every)
			}
		}
		time.Sleep(2 * Every)
		stop()
		synctest.Wait()
		size := 0
		for name, obj := range api.objects {
			of := 0
			for _, text := range obj.Spec.Entries {
				of += len(text)
			}
			if size += of; of > pageBytes+2000 {
				t.Errorf("page %s has %d bytes", name, of)
			}
		}
		if len(api.objects) > pages+1 || size > (pages+1)*pageBytes {
			t.Errorf("%d objects of %d bytes", len(api.objects), size)
		}
		next, store, _ := keeper(api, "next")
		if err := store.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(all(next)); n > maxEntries || n < 1000 || all(next)[0].ID != 4*maxEntries {
			t.Errorf("%d entries, the last %+v", n, all(next)[0])
		}
	})
}

func TestWhatCannotBeStoredIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShelf()
		book, store, failed := keeper(api, "leader")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = store.Start(ctx) }()
		synctest.Wait()
		api.mu.Lock()
		api.down = errors.New("the API server is away")
		api.mu.Unlock()
		book.Note(added(5, 1))
		time.Sleep(3 * Every)
		synctest.Wait()
		if _, _, unwritten := book.Count(); unwritten != 1 || len(*failed) == 0 || len(*failed) > 3 {
			t.Errorf("%d not stored, failed %v", unwritten, *failed)
		}
		api.mu.Lock()
		api.down = nil
		// Somebody else writes the page: what is ours goes in all the same.
		api.objects["f.0"] = &v1alpha1.Journal{Spec: v1alpha1.JournalSpec{Entries: []string{"spoilt"}}}
		api.objects["f.0"].Name, api.objects["f.0"].ResourceVersion = "f.0", "another"
		api.mu.Unlock()
		time.Sleep(2 * Every)
		synctest.Wait()
		if _, _, unwritten := book.Count(); unwritten != 0 {
			t.Errorf("%d not stored: %v", unwritten, *failed)
		}
		stop()
		synctest.Wait()
	})
}

func TestAReplicaThatLostItsLeaseWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShelf()
		book, store, _ := keeper(api, "leader")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = store.Start(ctx) }()
		synctest.Wait()
		writes := api.written()
		store.Leading = func() error { return errors.New("another leads") }
		book.Note(added(5, 1))
		time.Sleep(2 * Every)
		stop()
		synctest.Wait()
		if api.written() != writes {
			t.Errorf("%d writes", api.written()-writes)
		}
	})
}

func TestTheSameFailureAgainAndAgainIsOneEntry(t *testing.T) {
	b := NewBook("leader", time.Now)
	lost := func(p pkey.PKey) Entry {
		e := added(p, guid.GUID(p))
		e.Outcome, e.Err = Unknown, "no answer"
		return e
	}
	for range 100 {
		b.Note(lost(5))
		b.Note(lost(6))
	}
	b.Note(added(5, 5))
	b.Note(added(5, 5)) // done twice is done twice
	list := all(b)
	if len(list) != 4 || list[2].Times != 100 || list[3].Times != 100 {
		t.Errorf("%d entries: %+v", len(list), list)
	}
}

func TestAnEntryComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 40, 120)
		e := Entry{
			ID: rapid.Uint64().Draw(t, "id"), At: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 0).UTC(), PKey: pkey.PKey(rapid.Uint16Range(0, 0x7fff).Draw(t, "pkey")),
			Verb: Verb(text.Draw(t, "verb")), Membership: text.Draw(t, "membership"), From: text.Draw(t, "from"), Outcome: Outcome(text.Draw(t, "outcome")),
			Err: text.Draw(t, "err"), Why: text.Draw(t, "why"), Leader: text.Draw(t, "leader"), User: text.Draw(t, "user"), Times: rapid.IntRange(0, 9).Draw(t, "times"),
			Took: time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "took")) * time.Millisecond,
		}
		guids := rapid.SliceOfNDistinct(rapid.Map(rapid.Uint64Range(1, 200), func(n uint64) guid.GUID { return guid.GUID(n) }), 0, 150, rapid.ID).Draw(t, "guids")
		e.Name(guids, nil)
		back, err := parse(e.text())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&e, back); diff != "" {
			t.Fatal(diff)
		}
		listed := e.Listed(1 << 20)
		if len(e.GUIDs) < maxSpans {
			slices.Sort(guids)
			if !slices.Equal(listed, guids) {
				t.Fatalf("it names %v, of %v", listed, guids)
			}
		}
		for _, g := range listed {
			if !e.Has(g) {
				t.Fatalf("it has not %s", g)
			}
		}
	})
}

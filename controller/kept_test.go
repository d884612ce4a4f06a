package controller

import (
	"context"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
)

// apiOfLedgers is an API server that is only asked for the ledger.
type apiOfLedgers struct {
	client.Client // nobody else is asked
	rows          []v1alpha1.LedgerRow
}

func (a apiOfLedgers) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	shard := v1alpha1.Ledger{Spec: v1alpha1.LedgerSpec{Rows: a.rows}}
	shard.Name = "f-0x5-0"
	into.(*v1alpha1.LedgerList).Items = []v1alpha1.Ledger{shard}
	return nil
}

// others are the GUIDs that as many new pods get.
func others(t *testing.T, c *Controller, n int) map[guid.GUID]bool {
	t.Helper()
	got := map[guid.GUID]bool{}
	for i := range n {
		g, err := c.pool.Allocate(guid.Owner{UID: string(rune('a' + i)), Interface: "net1"})
		if err != nil {
			t.Fatal(err)
		}
		got[g[0]] = true
	}
	return got
}

func TestTwoGUIDsOfOneInterfaceAreKeptFromOthersAndLeaveTogether(t *testing.T) {
	const first, second = 1, 2
	for name, tc := range map[string]struct {
		states [2]ledger.State
		said   int
	}{
		"both of a live pod":          {[2]ledger.State{ledger.Assigned, ledger.Assigned}, 1},
		"one held since an edit":      {[2]ledger.State{ledger.Held, ledger.Assigned}, 0},
		"the other held since then":   {[2]ledger.State{ledger.Assigned, ledger.Held}, 0},
		"held, and found by a leader": {[2]ledger.State{ledger.Assigned, ledger.Held}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := leader(t, nil, guid.Range{First: 1, Last: 4})
			var rows []ledger.Row
			for i, g := range []guid.GUID{first, second} {
				r := rowIn(g, "u", 5)
				r.State = tc.states[i]
				c.ledger.Put(r)
				rows = append(rows, r)
			}
			if strings.Contains(name, "found") {
				c.foundRows(rows[:1])
				rows = rows[1:]
			}
			c.foundRows(rows)
			if got := others(t, c, 2); got[first] || got[second] {
				t.Errorf("another pod got one: %v", got)
			}
			if n := strings.Count(out.String(), "has two rows"); n != tc.said || strings.Count(out.String(), "\n") != tc.said {
				t.Errorf("it said:\n%s", out)
			}
			for _, r := range c.ledger.All() { // as hold and sweep do
				if err := c.pool.Release(r.GUID, r.Owner()); err != nil {
					t.Error(err)
				}
				if err := c.pool.Free(r.GUID); err != nil {
					t.Error(err)
				}
			}
			if got := c.pool.Stats(); got.Held != 0 || got.Owned != 2 {
				t.Errorf("behind its end: %+v", got)
			}
		})
	}
}

func TestTheGUIDOfASpoiltRowIsKeptFromPodsUntilTheRowIsMended(t *testing.T) {
	sound := v1alpha1.LedgerRow{
		GUID: guid.GUID(1).String(), PodUID: "u", Namespace: "ns", Pod: "u", Interface: "net1", State: v1alpha1.Assigned, Since: "2026-01-02T03:04:05Z",
	}
	spoilt := sound
	spoilt.Since = "yesterday"
	c, _ := leader(t, nil, guid.Range{First: 1, Last: 3})
	store := ledger.Store{Ledger: c.ledger, Client: apiOfLedgers{rows: []v1alpha1.LedgerRow{spoilt}}, Fabric: "f"}
	if bad, err := store.Load(t.Context()); bad == nil || err != nil {
		t.Fatalf("the row was read: %v, %v", bad, err)
	}
	c.claimRows()
	if got := others(t, c, 1); got[1] {
		t.Error("a pod got it")
	}
	// Whatever else kept it lets go.
	if err := c.pool.Free(1); err != nil {
		t.Fatal(err)
	}
	c.judgeMembers()
	if c.pool.Assign(guid.Owner{UID: "asks", Interface: "net1"}, 1) == nil {
		t.Error("a pod got it in the end")
	}
	mended := rowIn(1, "u", 5)
	c.ledger.Put(mended)
	c.foundRows([]ledger.Row{mended})
	if owner, ok := c.pool.Owner(1); !ok || owner != mended.Owner() {
		t.Errorf("the mended row's GUID belongs to %v", owner)
	}
}

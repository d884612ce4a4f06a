package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// row gives an interface of a pod its GUID.
func (d desk) row(r ledger.Row) ledger.Row {
	d.t.Helper()
	r.Seen = true
	if err := d.pool.Assign(r.Owner(), r.GUID); err != nil || !d.ledger.Put(r) {
		d.t.Fatalf("guid %s has a row, or an owner: %v", r.GUID, err)
	}
	return r
}

func TestAGUIDThatUFMCannotKnowIsFreeAtOnceAndNoOther(t *testing.T) {
	d := newDesk(t)
	pod := d.sees("u1")
	unsent := d.row(ledger.Row{GUID: 1, Pod: keyOf(pod), UID: pod.UID, Interface: "net1"})
	sent := d.row(ledger.Row{GUID: 2, Pod: keyOf(pod), UID: pod.UID, Interface: "net2", Sent: true})
	d.letGo(t.Context(), pod.UID)
	if _, stays := d.ledger.Get(unsent.GUID); stays {
		t.Error("a row that was never sent anywhere stays")
	}
	if r, _ := d.ledger.Get(sent.GUID); r.State != ledger.Leaving {
		t.Errorf("a row that UFM may know of is %v", r.State)
	}
	if s := d.pool.Stats(); s.Owned != 1 || s.Held != 0 {
		t.Errorf("the pool counts %+v", s)
	}
}

// noPods is an API server without pods.
type noPods struct{ client.Client }

func (noPods) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(corev1.Resource("pods"), key.Name)
}

// The garbage collection is quicker than a pod's worker on a busy machine, or when that one's
// patch hangs. It took a pod that had never come to a node for one that may have run anywhere,
// whose GUID is held until every node has spoken.
func TestAPodWhoseEndWasSeenIsNotTakenForOneThatMayRunAnywhere(t *testing.T) {
	for _, tc := range []struct {
		name, node string
		seen       bool
	}{
		{"seen", "", true},
		{"ended while nobody led", ledger.UnknownNode, false},
	} {
		d := newDesk(t)
		d.client = noPods{}
		pod := d.sees("u1")
		row := ledger.Row{GUID: 1, Pod: keyOf(pod), UID: pod.UID, Interface: "net1", Sent: true, Seen: tc.seen}
		if err := d.pool.Assign(row.Owner(), row.GUID); err != nil || !d.ledger.Put(row) {
			t.Fatal(err)
		}
		if err := d.podCache.informer.GetStore().Delete(pod); err != nil { // its worker does not come to it
			t.Fatal(err)
		}
		for range 2 {
			if err := d.collectGarbage(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if r, _ := d.ledger.Get(row.GUID); r.State != ledger.Leaving || r.Node != tc.node {
			t.Errorf("%s: the row is in state %v, of a pod on node %q", tc.name, r.State, r.Node)
		}
	}
}

func TestAPodThatWaitsKeepsOnlyWhatItStillNames(t *testing.T) {
	d := newDesk(t)
	pod := d.sees("u1")
	d.patched.begin(pod.UID)
	net := attach.Network{}
	net.Name.Name = "rail1"
	var wanted []want
	for i, row := range []ledger.Row{
		{Interface: "net1", Network: net.Name}, // stays as it is
		{Interface: "net2", Network: net.Name}, // is another network's now
		{Interface: "net3", Network: net.Name}, // is no longer there
	} {
		row.GUID, row.Pod, row.UID, row.Sent = guid.GUID(i+1), keyOf(pod), pod.UID, true
		d.row(row)
	}
	for _, e := range []attach.Element{{Interface: "net1", Network: net.Name}, {Interface: "net2"}} {
		wanted = append(wanted, want{e, net})
	}
	d.letGoUnnamed(t.Context(), pod, wanted)
	if rows := d.rowsOf(pod); len(rows) != 1 || rows[0].Interface != "net1" {
		t.Errorf("it keeps %v", rows)
	}
	if _, leaves := d.leavingOf(pod, "net2"); !leaves {
		t.Error("an interface would be given a second GUID beside the one that UFM still has")
	}
	d.letGoUnnamed(t.Context(), pod, nil)
	if rows := d.rowsOf(pod); len(rows) != 0 || d.patched.waits(pod.UID) {
		t.Errorf("it names nothing, keeps %v, and is waited with: %v", rows, d.patched.waits(pod.UID))
	}
}

func TestAnInterfaceThatWasEditedHasItsOwnGUIDUnderTheNextLeaderToo(t *testing.T) {
	d := newDesk(t)
	now := ledger.Row{GUID: 1, UID: "u1", Interface: "net1"}
	before := ledger.Row{GUID: 2, UID: "u1", Interface: "net1", State: ledger.Held}
	d.foundRows([]ledger.Row{now, before})
	if _, owned := d.pool.Owner(now.GUID); !owned {
		t.Error("another pod can be given what an interface has")
	}
	if _, held := d.pool.Holder(before.GUID); !held {
		t.Error("another pod can be given what an interface had until lately")
	}
}

// Two partitions let a pod go one after the other; with a hold of nothing, rows are swept before
// the API server has said that they are stored.
func TestThatAPodsGUIDsAreHeldIsSaidOnceThoughTheHoldIsOver(t *testing.T) {
	for name, swept := range map[string][]guid.GUID{"a hold that lasts": nil, "a hold of nothing": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.store.Client = deafAPI{}
			var said [][]guid.GUID
			d.rec.Hear(func(e record.Event, f record.Fields) {
				if e == record.GUIDHeld {
					said = append(said, f.GUIDs)
				}
			})
			for g, p := range map[guid.GUID]pkey.PKey{1: 6, 2: 5, 3: 5} {
				r := rowIn(g, "a", p)
				r.Interface = fmt.Sprint("net", g)
				d.row(r)
			}
			d.letGo(t.Context(), rowIn(1, "a", 6).UID)
			for _, out := range []struct {
				of    pkey.PKey
				guids []guid.GUID
			}{{6, []guid.GUID{1}}, {5, []guid.GUID{2, 3}}} {
				rows := d.ledger.Out(out.of, out.guids, d.now())
				for _, g := range swept {
					d.ledger.DropHeld(g)
				}
				if err := d.hold(t.Context(), rows); err != nil && !errors.Is(err, errDeaf) {
					t.Fatal(err)
				}
			}
			want := [][]guid.GUID{{1, 2, 3}}
			if swept != nil {
				want = [][]guid.GUID{{2, 3}} // of what is free again nobody is told
			}
			if diff := cmp.Diff(want, said); diff != "" {
				t.Errorf("it was said (-want +got):\n%s", diff)
			}
		})
	}
}

// A pod that asks for the GUID of one that has ended, before UFM let it go, has only to wait.
func TestAGUIDThatIsOnItsWayOutIsWaitedFor(t *testing.T) {
	for _, tc := range []struct {
		leaving bool
		policy  SyncPolicy
		want    record.Event
	}{
		{true, Sync, record.PodWaiting},
		{true, AddOnly, record.PodRefused}, // UFM never lets it go
		{false, Sync, record.PodRefused},
	} {
		d := newDesk(t)
		d.cfg.Policy = tc.policy
		r := d.row(rowIn(1, "a", 5))
		if tc.leaving {
			d.letGo(t.Context(), r.UID)
		}
		var told []record.Event
		d.rec.Hear(func(e record.Event, _ record.Fields) { told = append(told, e) })
		err := d.pool.Assign(guid.Owner{UID: "b", Interface: "net1"}, r.GUID)
		if _, err := d.waitForGUID(&corev1.Pod{}, err); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(told, tc.want) {
			t.Errorf("leaving %t, policy %s: it was told %v, want %v", tc.leaving, tc.policy, told, tc.want)
		}
	}
}

package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// says is a node that calls itself Ready since a time.
func says(since time.Time, boot string) []corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}
	n.Status.NodeInfo.BootID = boot
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(since)}}
	return []corev1.Node{n}
}

// A node's clock can be anywhere: neither does it keep a GUID, nor give one away.
func TestANodeIsReadySinceItWasSeenWhateverItsClockSays(t *testing.T) {
	const hold, ended, back = 10 * time.Minute, time.Minute, 2 * time.Minute
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	gone := []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}}
	for _, tc := range []struct {
		name   string
		before []corev1.Node // at the first look
		then   []corev1.Node // at the second, when it is back
		proved time.Duration // when it has proved, from the start, that it does not run the pod
	}{
		{"it never left", says(start.Add(-time.Hour), "b"), says(start.Add(-time.Hour), "b"), ended + hold},
		{"it never left, and is years ahead", says(start.AddDate(30, 0, 0), "b"), says(start.AddDate(30, 0, 0), "b"), ended + hold},
		{"it comes back, and is years behind", gone, says(start.AddDate(-30, 0, 0), "b"), back + hold},
		{"it comes back, and is years ahead", gone, says(start.AddDate(30, 0, 0), "b"), back + hold},
		{"it left and came back between two looks", says(start.Add(-time.Hour), "b"), says(start.Add(time.Second), "b"), back + hold},
		{"it booted", gone, says(start.AddDate(30, 0, 0), "c"), back},
	} {
		d := newDesk(t)
		now := start
		d.cfg.Hold, d.now = hold, func() time.Time { return now }
		d.ready.look(tc.before, now)
		row := ledger.Row{GUID: 1, State: ledger.Held, Since: start.Add(ended), Node: "node-a", BootID: "b"}
		for now = start.Add(back); ; now = now.Add(time.Minute) {
			d.ready.look(tc.then, now)
			if took := now.Sub(start); d.nodeProved(&tc.then[0], row) != (took >= tc.proved) {
				t.Errorf("%v: after %s it has proved it or not; it must have after %s", tc.name, took, tc.proved)
			} else if took < time.Hour {
				continue
			}
			break
		}
	}
}

// It may have come back just before a new leader looked for the first time.
func TestANodeIsNotBelievedAtTheFirstLookEither(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	years := says(now.AddDate(-30, 0, 0), "b")
	d.ready.look(years, now)
	row := ledger.Row{GUID: 1, State: ledger.Held, Since: now.Add(-time.Hour), Node: "node-a", BootID: "b"}
	for after, want := range map[time.Duration]bool{d.cfg.Hold - time.Second: false, d.cfg.Hold: true} {
		d.now = func() time.Time { return now.Add(after) }
		if d.nodeProved(&years[0], row) != want {
			t.Errorf("after %s it has proved what it must not, or not what it must", after)
		}
	}
}

func TestANodeThatCameBackAfterTheLastLookProvesNothing(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	d.ready.look(says(now.Add(-time.Hour), "b"), now)
	d.now = func() time.Time { return now.Add(time.Hour) }
	if d.nodeProved(&says(now.Add(-30*time.Minute), "b")[0], ledger.Row{GUID: 1, State: ledger.Held, Node: "node-a", BootID: "b"}) {
		t.Error("it passes for one that never left")
	}
}

// The clock of a former leader, which stopped cleanly, was ahead, or ours is.
func TestANewLeaderBelievesNobodysClockOfHolds(t *testing.T) {
	for _, years := range []int{5, -5} {
		d := newDesk(t)
		held := v1alpha1.LedgerRow{
			GUID: guid.GUID(1).String(), PodUID: "u", Namespace: "ns", Pod: "u", Interface: "net1", State: v1alpha1.Held,
			Since: time.Now().AddDate(years, 0, 0).UTC().Format(time.RFC3339),
		}
		d.store.Client = apiOfLedgers{rows: []v1alpha1.LedgerRow{held}}
		before := time.Now()
		if err := d.loadLedger(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, _ := d.ledger.Get(1); r.State != ledger.Held || r.Since.Before(before) || r.Since.After(time.Now()) {
			t.Errorf("it is %v since %s", r.State, r.Since)
		}
	}
}

// A former leader's last write came in behind what this one had loaded.
func TestAHoldThatIsFoundLaterBeginsAnewToo(t *testing.T) {
	d := newDesk(t)
	r := ledger.Row{GUID: 1, UID: "u", Interface: "net1", State: ledger.Held, Since: time.Now().Add(-time.Hour)}
	d.ledger.Put(r)
	before := time.Now()
	d.store.Found([]ledger.Row{r}, nil)
	if got, _ := d.ledger.Get(1); got.Since.Before(before) {
		t.Errorf("it is held since %s", got.Since)
	}
}

// UFM showed its member before the row was found, out of a backup or a former leader's last.
func TestAMemberThatARowExplainsLaterIsItsPodsAndNobodyElses(t *testing.T) {
	for _, state := range []ledger.State{ledger.Assigned, ledger.Held} {
		c, out := leader(t, nil, guid.Range{First: 1, Last: 2})
		at := time.Now()
		seen := func(now map[guid.GUID][]pkey.PKey) {
			at = at.Add(time.Hour)
			c.unclaimed.update(now, nil, c.pool, at, time.Minute)
		}
		seen(map[guid.GUID][]pkey.PKey{1: {5}})
		r := rowIn(1, "late", 5)
		r.State = state
		c.ledger.Put(r)
		c.foundLater([]ledger.Row{r}, nil)
		for range 3 {
			seen(map[guid.GUID][]pkey.PKey{})
		}
		if s := c.pool.Stats(); s.Owned+s.Held != 1 || c.unclaimed.count() != 0 || strings.Contains(out.String(), "guid.conflict") {
			t.Errorf("%v: the pool has %+v; %d unclaimed\n%s", state, s, c.unclaimed.count(), out)
		}
		owner, owned := c.pool.Owner(1)
		if owned != (state == ledger.Assigned) || owned && owner.UID != "late" {
			t.Errorf("%v: it is %v's, %v", state, owner, owned)
		}
		if got := others(t, c, 1); got[1] {
			t.Errorf("%v: another pod got it", state)
		}
	}
}

// apiOfNodes is an API server that is only asked for nodes by name.
type apiOfNodes struct {
	client.Client // nobody else is asked
	nodes         []corev1.Node
	err           error
}

func (a apiOfNodes) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	name, _ := o.FieldSelector.RequiresExactMatch("metadata.name")
	list := into.(*corev1.NodeList)
	list.Items = slices.DeleteFunc(slices.Clone(a.nodes), func(n corev1.Node) bool { return n.Name != name })
	return a.err
}

// The watch of nodes is behind: what it shows gives no GUID away.
func TestTheAPIServerConfirmsThatANodeIsReady(t *testing.T) {
	now := time.Now()
	ready := says(now.Add(-time.Hour), "b")
	lost := says(now.Add(-time.Hour), "b")
	lost[0].Status.Conditions[0].Status = corev1.ConditionUnknown
	for name, tc := range map[string]struct {
		api  apiOfNodes
		node string
		want bool
	}{
		"it is":                        {apiOfNodes{nodes: ready}, "node-a", true},
		"it is lost":                   {apiOfNodes{nodes: lost}, "node-a", false},
		"it is gone":                   {apiOfNodes{}, "node-a", false},
		"it left and came back":        {apiOfNodes{nodes: says(now.Add(-time.Minute), "b")}, "node-a", false},
		"it booted":                    {apiOfNodes{nodes: says(now.Add(-time.Minute), "c")}, "node-a", true},
		"nobody answers":               {apiOfNodes{nodes: ready, err: errors.New("away")}, "node-a", false},
		"nobody knows where, and is":   {apiOfNodes{nodes: ready}, ledger.UnknownNode, true},
		"nobody knows where, and lost": {apiOfNodes{nodes: lost}, ledger.UnknownNode, false},
		"nobody knows where, and gone": {apiOfNodes{}, ledger.UnknownNode, false},
		"it ran nowhere":               {apiOfNodes{err: errors.New("away")}, "", true},
	} {
		d := newDesk(t)
		d.cfg.Hold, d.client = time.Minute, tc.api
		d.ready.look(ready, now)
		d.now = func() time.Time { return now.Add(time.Hour) }
		row := ledger.Row{GUID: 1, State: ledger.Held, Since: now, Node: tc.node, BootID: "b"}
		over, err := d.confirmed(t.Context(), ready, []ledger.Row{row})
		if (len(over) == 1) != tc.want || (err != nil) != (tc.api.err != nil && tc.node != "") {
			t.Errorf("%v: %d are over, %v", name, len(over), err)
		}
	}
}

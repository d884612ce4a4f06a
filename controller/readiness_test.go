package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
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
				t.Errorf("%s: after %s it has proved it or not; it must have after %s", tc.name, took, tc.proved)
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
	d.store.Found([]ledger.Row{r})
	if got, _ := d.ledger.Get(1); got.Since.Before(before) {
		t.Errorf("it is held since %s", got.Since)
	}
}

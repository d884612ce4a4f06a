package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// book writes a Ledger object by hand, as a person may who mends one with kubectl edit.
// Without a fabric it has no labels.
func (w *world) book(name, fabric, pkeyLabel string, rows ...any) error {
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	obj.SetAPIVersion("ibfabric.io/v1alpha1")
	obj.SetKind("Ledger")
	obj.SetNamespace(w.ns)
	obj.SetName(name)
	if fabric != "" {
		obj.SetLabels(map[string]string{v1alpha1.LabelFabric: fabric, v1alpha1.LabelPKey: pkeyLabel})
	}
	if rows != nil {
		obj.Object["spec"] = map[string]any{"rows": rows}
	}
	return w.api.Create(w.ctx(), obj)
}

// handRow is a row as a person writes it; edits are pairs of what stands there and what
// is to. {hex} is the GUID's digits.
func handRow(g guid.GUID, edits ...string) string {
	row := g.String() + " Assigned 2026-01-02T03:04:05Z 0x5:full default/ghost-{hex} uid-{hex} net1 default/rail - -"
	return strings.NewReplacer("{hex}", g.Hex()).Replace(strings.NewReplacer(edits...).Replace(row))
}

// hold waits until the ledger says that a GUID is held.
func (w *world) isHeld(g guid.GUID) {
	w.t.Helper()
	testbed.Eventually(w.t, g.String()+" is held", func() (bool, string) {
		row := w.rows()[g.String()]
		return row.State == v1alpha1.Held, fmt.Sprint(row)
	})
}

func TestALedgerSpoiltByHandStopsNobody(t *testing.T) {
	w := newWorld(t)
	const first = guid.GUID(0x0200000000000000)
	ghost, undated, twin, never := first+0x10, first+0x11, first+0x12, first+0x13
	const sound, year1 = "2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z"
	spoilt := map[string]string{ // what the log says of a row, and the row
		"all zeros is no GUID; write 16 hex digits": handRow(0),
		"pkey \"0x0\": 0 is no partition":           handRow(first+0x20, "0x5", "0x0"),
		"0x7fff is the management partition":        handRow(first+0x21, "0x5", "0x7fff"),
		"write 0x1 and say the membership apart":    handRow(first+0x22, "0x5", "0x8001"),
		"pkey 0x5 stands there twice; name it once": handRow(first+0x23, "0x5:full", "0x5:full,0x0005:full"),
		`".." in namespace "default"`:               handRow(first+0x24, "ghost-{hex}", ".."),
		`"a" in namespace "a/b"`:                    handRow(first+0x25, "default/ghost-{hex}", "a%2Fb/a"),
		`with uid "" is no pod`:                     handRow(first+0x26, "uid-{hex}", "-", sound, year1),
		`is no pod with an interface ("")`:          handRow(first+0x27, "net1", "-"),
		"has not the form of one; write it as":      handRow(first+0x28, "ghost-{hex}", "%67host"),
	}
	rows := []any{handRow(ghost), handRow(undated, "Assigned "+sound, "Held "+year1), handRow(twin), handRow(never, sound, year1)}
	for _, row := range spoilt {
		rows = append(rows, row)
	}
	must(t, w.book(w.ns+"-0x5-0", w.ns, "0x5", rows...))
	must(t, w.book(w.ns+"-0x6-0", w.ns, "0x6", handRow(twin, "uid-{hex}", "another", "ghost-{hex}", "twin", "0x5", "0x6")))
	must(t, w.book("empty", w.ns, "0x9"))
	must(t, w.book(strings.Repeat("handmade", 12), w.ns, "")) // its label is lost, and its name makes none
	must(t, w.book("other", "another-fabric", "0x5", handRow(first+0x30)))
	must(t, w.book("unlabelled", "", "", handRow(first+0x31)))
	others := map[string]string{"other": w.version("other"), "unlabelled": w.version("unlabelled")}

	c := w.start()
	w.logged("leader.adopted", "")
	w.fine()
	lines := w.logOf("ledger.spoilt")
	if len(lines) != 1 {
		t.Fatalf("it was said %d times", len(lines))
	}
	for mend := range spoilt {
		if !strings.Contains(lines[0], mend) {
			t.Errorf("the log does not say %q:\n%s", mend, lines[0])
		}
	}
	if want := fmt.Sprintf("guid %s of default/", twin); !strings.Contains(lines[0], want) || !strings.Contains(lines[0], "that one counts") {
		t.Errorf("the log does not say which of two rows counts:\n%s", lines[0])
	}
	w.isHeld(ghost)   // its pod does not exist
	w.isHeld(undated) // as if since now
	w.isHeld(never)
	w.kept(rows[4:])
	for name, version := range others {
		if now := w.version(name); now != version {
			t.Errorf("ledger %s is not ours and was written", name)
		}
	}
	w.fine()
	w.unharmed(c)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) version(ledger string) string {
	w.t.Helper()
	var l v1alpha1.Ledger
	if err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: ledger}, &l); err != nil {
		w.t.Fatal(err)
	}
	return l.ResourceVersion
}

// logOf are the errors of an event's log lines.
func (w *world) logOf(event string) []string {
	var all []string
	for _, line := range w.lines() {
		if line["event"] == event {
			all = append(all, fmt.Sprint(line["err"]))
		}
	}
	return all
}

// kept wants the rows that cannot be read as they were: they may be all that is left
// of what somebody meant.
func (w *world) kept(rows []any) {
	w.t.Helper()
	var l unstructured.Unstructured
	l.SetAPIVersion("ibfabric.io/v1alpha1")
	l.SetKind("Ledger")
	if err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: w.ns + "-0x5-0"}, &l); err != nil {
		w.t.Fatal(err)
	}
	stored, _, err := unstructured.NestedSlice(l.Object, "spec", "rows")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range rows {
		if !slices.Contains(stored, row) {
			w.t.Errorf("a row that cannot be read is gone: %v\nof %v", row, stored)
		}
	}
}

// The API server itself refuses what the CRD can tell, so that kubectl edit says so.
func TestTheAPIServerRefusesARowThatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	const g = guid.GUID(0x0200000000000001)
	for name, row := range map[string]any{
		"guid":       handRow(g, g.String(), "zz"),
		"pkey":       handRow(g, "0x5", "5"),
		"membership": handRow(g, "full", "both"),
		"state":      handRow(g, "Assigned", "Lost"),
		"since":      handRow(g, "2026-01-02T03:04:05Z", "yesterday"),
		"a word":     handRow(g, " net1", ""),
		"a number":   int64(5),
		"an object":  map[string]any{"guid": g.String(), "pod": "a"},
		"nothing":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.book("spoilt", w.ns, "0x5", row); !apierrors.IsInvalid(err) {
				t.Errorf("it took the row: %v", err)
			}
		})
	}
}

// Both rows are one interface's: its pod lives, and which of the GUIDs it uses nobody
// can tell. Neither may be given to somebody else, nor be in anybody's way.
func TestTwoRowsOfOneInterfaceAreInNobodysWay(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	pod := w.pod("a", "rail")
	const g = guid.GUID(0x0200000000000000)
	of := func(g guid.GUID, since string) string {
		return handRow(g, "uid-{hex}", string(pod.UID), "default/ghost-{hex}", w.ns+"/a", "default/rail", w.ns+"/rail", "2026-01-02T03:04:05Z", since)
	}
	must(t, w.book(w.ns+"-0x5-0", w.ns, "0x5", of(g, "2026-01-02T03:04:05Z"), of(g+1, "2026-01-01T03:04:05Z")))
	c := w.start()
	w.logged("leader.adopted", "")
	w.logged("guid.conflict", "has two rows in the ledger")
	for i := range 3 {
		name := fmt.Sprintf("b%d", i)
		w.pod(name, "rail")
		if got := w.configured(name)[0]; got == g || got == g+1 {
			t.Errorf("%s got %s, which has a row", name, got)
		}
	}
	w.unharmed(c)
}

// The CRD takes times that are none.
func TestATimeThatCannotBeReadSpoilsItsRowAlone(t *testing.T) {
	w := newWorld(t)
	const first = guid.GUID(0x0200000000000000)
	odd := handRow(first+1, "2026-01-02", "2026-02-30")
	must(t, w.book(w.ns+"-0x5-0", w.ns, "0x5", odd, handRow(first))) // the walk goes on behind the latter
	c := w.start()
	w.logged("leader.adopted", "")
	w.logged("ledger.spoilt", "write it as 2026-01-02T03:04:05Z")
	w.isHeld(first)
	for range 3 {
		w.fine()
	}
	if slices.Contains(w.members(0x7000), first+1) {
		t.Errorf("a pod got %s, which is somebody's whose row cannot be read", first+1)
	}
	w.kept([]any{odd})
	w.unharmed(c)
}

// A row that somebody breaks under a leader that works is written right again.
func TestARowBrokenUnderALeaderIsMended(t *testing.T) {
	w := newWorld(t)
	w.network("rail", "0x5")
	c := w.start()
	w.pod("a", "rail")
	a := w.configured("a")[0]
	name := types.NamespacedName{Namespace: w.ns, Name: w.ns + "-0x5-0"}
	of := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	must(t, rig.Edit(t.Context(), w.api, of, func(l *v1alpha1.Ledger) {
		l.Spec.Leader = "a person"
		l.Spec.Rows[0].Pod, l.Spec.Rows[0].Since = "", "1970-01-01T00:00:05Z"
	}))
	w.pod("b", "rail") // its row is written into the same object
	b := w.configured("b")[0]
	w.inUFM(0x5, a, b)
	var l v1alpha1.Ledger
	must(t, w.api.Get(t.Context(), name, &l))
	found := 0
	for _, row := range l.Spec.Rows {
		if row.GUID == a.String() && row.Pod == "a" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("a's row stands there %d times: %+v", found, l.Spec.Rows)
	}
	must(t, client.IgnoreNotFound(w.api.Delete(t.Context(), &l)))
	w.fine()
	w.unharmed(c)
}

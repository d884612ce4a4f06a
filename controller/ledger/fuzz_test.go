package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

const soundRow = `02:00:00:00:00:00:00:01 Assigned 2026-01-02T03:04:05Z 0x5:full:index0,0x20:limited ns/a u net1 ns/rail1 - -`

func rowSeeds() []string {
	rows := []string{soundRow, `- - - - -/- - - - - -`, ``, `no row`}
	for old, spoilt := range map[string]string{
		`02:00:00:00:00:00:00:01`:       `zz`,
		` u `:                           ` - `,
		`/a `:                           `/.. `,
		`ns/a`:                          `n%2Fs/a`,
		`net1`:                          `-`,
		`ns/rail1`:                      `no%20network`,
		`0x5:`:                          `0x0:`,
		`0x20:`:                         `0x0005:`,
		`limited`:                       `both`,
		`Assigned`:                      `Held`,
		`Assigned 2026-01-`:             `Held 0001-01-`,
		`2026-01-02T03:04:05Z`:          `-`,
		`2026-01-02T03:04:05`:           `9999-12-31T23:59:59`,
		`2026-01-02T03`:                 `2026-01-02t03`,
		`Assigned 2026-01-02T03:04:05Z`: `Held 0000-01-01T00:00:00+01:00`,
		`0x5:full`:                      `0x7fff:full`,
	} {
		rows = append(rows, strings.Replace(soundRow, old, spoilt, 1))
	}
	return rows
}

// inJSON is a shard's rows as the API server sends them.
func inJSON(t testing.TB, rows ...string) []byte {
	t.Helper()
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// stored is a row as it comes back from the API server, which keeps whole seconds.
func stored(t *testing.T, crd rowSchema, r Row) v1alpha1.LedgerRow {
	t.Helper()
	text := r.toAPI().String()
	crd.wantTaken(t, text)
	var back []v1alpha1.LedgerRow
	if err := json.Unmarshal(inJSON(t, text), &back); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return back[0]
}

func wantFit(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("unfit message of %d bytes: %.300q", len(text), text)
	}
}

func FuzzAStoredRowIsReadWholeOrNotAtAll(f *testing.F) {
	for _, row := range rowSeeds() {
		f.Add(row)
	}
	crd := schemaOfRows(f)
	f.Fuzz(func(t *testing.T, text string) {
		var rows []v1alpha1.LedgerRow
		if err := json.Unmarshal(inJSON(t, text), &rows); err != nil {
			t.Fatal(err)
		}
		in := rows[0]
		r, err := fromAPI(in)
		if err != nil {
			wantFit(t, err)
			if !cmp.Equal(r, Row{}, cmpopts.IgnoreUnexported(Row{})) {
				t.Fatalf("%s: half a row beside %v: %+v", text, err, r)
			}
			return
		}
		if !r.GUID.IsValid() || r.UID == "" || r.Interface == "" || r.Pod.Name == "" || r.Pod.Namespace == "" || len(r.Claims) != len(in.PKeys) {
			t.Fatalf("%s was taken for %+v", text, r)
		}
		if since, err := time.Parse(time.RFC3339, in.Since); r.State == Held && (err != nil || in.State != v1alpha1.Held || r.Since.Before(since)) {
			t.Fatalf("%s: held since %s, the hold became shorter", text, r.Since)
		}
		back, err := fromAPI(stored(t, crd, r))
		if r.State == Held && !back.Since.Equal(r.Since) { // a second longer each time
			back.Since = r.Since
		}
		if diff := cmp.Diff(r, back, cmpopts.IgnoreUnexported(Row{}), cmpopts.EquateApproxTime(time.Second)); err != nil || diff != "" {
			t.Fatalf("%s: %v (-read +read again):\n%s", text, err, diff)
		}
		leaves(t, r)
	})
}

// leaves takes a row through its life to the end: a GUID that cannot become held is lost.
func leaves(t *testing.T, r Row) {
	t.Helper()
	if r.State == Held {
		return
	}
	l := New()
	if !l.Put(r) {
		t.Fatal("an empty ledger has no room")
	}
	l.Leave(r.UID, "", "", time.Unix(1, 0))
	held := 0
	for _, p := range l.PKeys() {
		if p != 0 && !p.IsValid() {
			t.Fatalf("partition %s cannot be changed in UFM", p)
		}
		held += len(l.Out(p, []guid.GUID{r.GUID}, time.Unix(2, 0)))
	}
	if held != 1 {
		t.Fatalf("out of %v, it was held %d times", r.Partitions(), held)
	}
}

// Whatever a person wrote into Ledger objects, nothing of it is lost when the next
// leader stores them under its name, and it can store them.
func FuzzATakenLedgerCanBeStoredAgain(f *testing.F) {
	rows := rowSeeds()
	f.Add("f-0x5-0", "0x5", inJSON(f, rows...))
	f.Add("f-0x5-0", "0x5", inJSON(f, soundRow, soundRow, strings.Replace(soundRow, " u ", " v ", 1)))
	f.Add("handmade", "", []byte(`[]`))
	f.Add(strings.Repeat("long", 30), "", inJSON(f, soundRow))
	f.Add("x", "not a pkey", []byte(`null`))
	f.Add("f-none-0", "none", inJSON(f, rows[1]))
	f.Add("f-0x5-0", "0X0005", inJSON(f, rows[1], rows[1], rows[1]))
	f.Add("f-0x5-0", "0x5", []byte(`[{"guid":"02:00:00:00:00:00:00:01"},5,null,`+string(inJSON(f, soundRow)[1:])))
	f.Fuzz(func(t *testing.T, name, pkeyLabel string, text []byte) {
		obj := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "1", Labels: map[string]string{v1alpha1.LabelPKey: pkeyLabel}}}
		if len(validation.IsDNS1123Subdomain(name)) > 0 || json.Unmarshal(text, &obj.Spec.Rows) != nil {
			return // the API server has no such object
		}
		s := &Store{Ledger: New(), Fabric: "f", Leader: "next"}
		took, bad := s.Ledger.take(obj)
		if len(took)+len(bad) > len(obj.Spec.Rows) {
			t.Fatalf("%d rows became %d and %d errors", len(obj.Spec.Rows), len(took), len(bad))
		}
		for _, err := range bad {
			wantFit(t, err)
		}
		wantAll(t, s.Ledger, obj.Spec.Rows)
		again, _, done := s.snapshot(s.Ledger.shards.named[name])
		if done {
			t.Fatal("it would not be stored under the new leader's name")
		}
		for key, value := range again.Labels {
			if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
				t.Fatalf("the API server refuses the label %s=%q: %v", key, value, problems)
			}
		}
		wantAll(t, s.Ledger, again.Spec.Rows)
		if len(again.Spec.Rows) < len(took) || len(again.Spec.Rows) > len(obj.Spec.Rows) {
			t.Fatalf("%d rows became %d", len(obj.Spec.Rows), len(again.Spec.Rows))
		}
	})
}

// wantAll wants each row in the ledger, or kept as one that cannot be read.
func wantAll(t *testing.T, l *Ledger, rows []v1alpha1.LedgerRow) {
	t.Helper()
	for i, in := range rows {
		g, err := guid.Parse(in.GUID)
		_, known := l.Get(g)
		kept := slices.ContainsFunc(slices.Collect(unreadable(l)), func(u v1alpha1.LedgerRow) bool { return cmp.Equal(u, in) })
		if !kept && (err != nil || !known) {
			t.Fatalf("row %d is lost: %+v", i, in)
		}
	}
}

func unreadable(l *Ledger) func(func(v1alpha1.LedgerRow) bool) {
	return func(yield func(v1alpha1.LedgerRow) bool) {
		for _, sh := range l.shards.named {
			for _, u := range sh.unreadable {
				if !yield(u) {
					return
				}
			}
		}
	}
}

// FuzzTheLedgerForgetsNothing plays with rows that claim any partitions in any order.
func FuzzTheLedgerForgetsNothing(f *testing.F) {
	f.Add([]byte{1, 5, 1, 2, 5, 1, 3, 0, 2})
	f.Add([]byte("\x01\x05\x01\x01\x06\x02\x02\x05\x01\x02\x05\x03\x04\x05\x00"))
	f.Fuzz(func(t *testing.T, plan []byte) {
		l := New()
		put := map[guid.GUID]bool{}
		for ; len(plan) >= 3; plan = plan[3:] {
			g, uid := guid.GUID(plan[0])+1, types.UID(fmt.Sprint("u", plan[2]%4))
			switch plan[2] / 64 {
			case 0, 1:
				in := v1alpha1.LedgerRow{
					GUID: g.String(), PodUID: uid, Namespace: "ns", Pod: "p" + string(uid), Interface: g.Hex(), State: v1alpha1.Assigned, Since: "2026-01-02T03:04:05Z",
					PKeys: []v1alpha1.LedgerClaim{{PKey: pkey.PKey(plan[1]).String(), Membership: "full"}, {PKey: "0x20", Membership: "limited"}},
				}
				if r, err := fromAPI(in); err == nil && l.Put(r) == put[g] {
					t.Fatalf("%s has a row: %t", g, put[g])
				} else if err == nil {
					put[g] = true
				}
			case 2:
				l.Leave(uid, "", "", time.Unix(1, 0))
			case 3:
				for _, r := range l.Out(pkey.PKey(plan[1]), []guid.GUID{g}, time.Unix(2, 0)) {
					if !l.Return(r.GUID, time.Unix(3, 0)) {
						t.Fatalf("%s was held and did not return", r.GUID)
					}
				}
			}
			assigned, leaving, held := l.Counts()
			if n := len(l.All()); n != len(put) || assigned+leaving+held != n {
				t.Fatalf("%d rows of %d: %d assigned, %d leaving, %d held", n, len(put), assigned, leaving, held)
			}
		}
		for _, r := range l.All() {
			l.Drop(r.GUID)
		}
		if len(l.PKeys())+len(l.rows)+len(l.byPod)+len(l.byName)+len(l.shards.of) != 0 {
			t.Fatalf("empty, and still it knows %v", l.PKeys())
		}
	})
}

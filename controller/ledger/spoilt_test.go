package ledger

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
)

// shardOf is a stored shard as the API server sends it.
func shardOf(t *testing.T, rows ...string) *v1alpha1.Ledger {
	t.Helper()
	return shardOfJSON(t, string(inJSON(t, rows...)))
}

func shardOfJSON(t *testing.T, rows string) *v1alpha1.Ledger {
	t.Helper()
	obj := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Name: "f-0x5-0", ResourceVersion: "1"}}
	if err := json.Unmarshal([]byte(`{"rows":`+rows+`}`), &obj.Spec); err != nil {
		t.Fatalf("one row makes the object unreadable: %v", err)
	}
	return obj
}

// other is soundRow with another GUID, edited.
func other(g string, edits ...string) string {
	return strings.NewReplacer(append([]string{"02:00:00:00:00:00:00:01", g}, edits...)...).Replace(soundRow)
}

// wantKept stores a shard again and wants each of its rows in it as it was.
func wantKept(t *testing.T, s *Store, in *v1alpha1.Ledger) {
	t.Helper()
	again, _, _ := s.snapshot(s.Ledger.shards.named[in.Name])
	text, err := json.Marshal(again.Spec.Rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range in.Spec.Rows {
		if want, err := json.Marshal(row); err != nil || !strings.Contains(string(text), string(want)) {
			t.Errorf("%v: a row was not stored as it is, %s, among %s", err, want, text)
		}
	}
}

// The CRD cannot tell that a month has no 30th day, and may have been another.
func TestARowWithAnOddTimeIsKeptAsItIsAndSpoilsNoOther(t *testing.T) {
	const sound, year1 = "2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z"
	times := []string{"2026-02-30T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02%2003:04:05Z", "2026-12-31T23:59:60Z", "-001-01-01T00:00:00Z", "-"}
	rows := []string{soundRow, other("02:00:00:00:00:00:00:30", "/a ", "/.. ", sound, year1)}
	for i, text := range times {
		rows = append(rows, other(guid.GUID(0x0200000000000020+i).String(), sound, text))
	}
	in := shardOf(t, rows...)
	s := &Store{Ledger: New(), Fabric: "f", Leader: "next"}
	took, bad := s.Ledger.take(in)
	if len(took) != 1 || took[0].GUID != 0x0200000000000001 || len(bad) != len(rows)-1 {
		t.Fatalf("took %v, and of the others: %v", took, bad)
	}
	for i, text := range times {
		if says := bad[i+1].Error(); !strings.Contains(says, "write it as 2026-01-02T03:04:05Z") {
			t.Errorf("of since %q it says %s", text, says)
		}
	}
	wantKept(t, s, in)
}

// Only in a cluster whose CRD is not ours can such a thing stand.
func TestWhatIsNoRowAtAllIsKeptAsItIsAndSpoilsNoOther(t *testing.T) {
	noRows := []string{`"02:00:00:00:00:00:00:20 Held"`, `""`, `5`, `null`, `{"guid":"02:00:00:00:00:00:00:21","pod":"a"}`, `["02:00:00:00:00:00:00:22"]`}
	in := shardOfJSON(t, `[`+strings.Join(noRows, ",")+`,`+string(inJSON(t, soundRow))[1:])
	s := &Store{Ledger: New(), Fabric: "f", Leader: "next"}
	took, bad := s.Ledger.take(in)
	if len(took) != 1 || took[0].GUID != 0x0200000000000001 || len(bad) != len(noRows) {
		t.Fatalf("took %v, and of the others: %v", took, bad)
	}
	for i, err := range bad {
		if says := err.Error(); !strings.Contains(says, "has not the form of one; write it as") {
			t.Errorf("of %s it says %s", noRows[i], says)
		}
	}
	if want := []guid.GUID{0x0200000000000020, 0x0200000000000021, 0x0200000000000022}; !cmp.Equal(want, s.Ledger.Unreadable()) {
		t.Errorf("it knows the GUIDs %v, want %v", s.Ledger.Unreadable(), want)
	}
	wantKept(t, s, in)
}

func TestTheGUIDOfARowThatCannotBeReadIsKnown(t *testing.T) {
	l := New()
	l.take(shardOf(t, soundRow, other("02:00:00:00:00:00:00:20", "/a ", "/.. "), other("zz"), other("00:00:00:00:00:00:00:00")))
	if diff := cmp.Diff([]guid.GUID{0x0200000000000020}, l.Unreadable()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

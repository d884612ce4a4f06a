package ledger

import (
	"encoding/json"
	"slices"
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
	obj := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Name: "f-0x5-0", ResourceVersion: "1"}}
	if err := json.Unmarshal([]byte(`{"rows":[`+strings.Join(rows, ",")+`]}`), &obj.Spec); err != nil {
		t.Fatalf("one row makes the object unreadable: %v", err)
	}
	return obj
}

// other is soundRow with another GUID, edited.
func other(g string, edits ...string) string {
	return strings.NewReplacer(append([]string{"02:00:00:00:00:00:00:01", g}, edits...)...).Replace(soundRow)
}

// The CRD's date-time is wider than what Go reads, and 0001 is what Go writes as null
// where a time is not text.
func TestARowWithAnOddTimeIsKeptAsItIsAndSpoilsNoOther(t *testing.T) {
	const year1 = "0001-01-01T00:00:00Z"
	times := []string{"2026-01-02t03:04:05z", "2026-01-02 03:04:05Z", "2026-12-31T23:59:60Z", "-001-01-01T00:00:00Z", ""}
	rows := []string{soundRow, other("02:00:00:00:00:00:00:30", `"a"`, `".."`, "2026-01-02T03:04:05Z", year1)}
	for i, text := range times {
		rows = append(rows, other(guid.GUID(0x0200000000000020+i).String(), "2026-01-02T03:04:05Z", text))
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
	again, _, _ := s.snapshot(s.Ledger.shards.named[in.Name])
	text, err := json.Marshal(again.Spec)
	if err != nil || strings.Contains(string(text), "null") {
		t.Fatalf("%v: the API server does not take %s", err, text)
	}
	for _, row := range in.Spec.Rows {
		if !slices.ContainsFunc(again.Spec.Rows, func(r v1alpha1.LedgerRow) bool { return cmp.Equal(r, row) }) {
			t.Errorf("a row was not stored as it is: %+v", row)
		}
	}
}

func TestTheGUIDOfARowThatCannotBeReadIsKnown(t *testing.T) {
	l := New()
	l.take(shardOf(t, soundRow, other("02:00:00:00:00:00:00:20", `"a"`, `".."`), other("zz"), other("00:00:00:00:00:00:00:00")))
	if diff := cmp.Diff([]guid.GUID{0x0200000000000020}, l.Unreadable()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

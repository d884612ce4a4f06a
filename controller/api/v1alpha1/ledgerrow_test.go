package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

const line = "02:00:00:00:00:00:00:07 Assigned 2026-01-02T03:04:05Z 0x1000:full:index0:ipoib,0x20:limited team/train-0 8d3c-11 net1 team/rail1 node1 -"

func trainRow() LedgerRow {
	return LedgerRow{
		GUID: "02:00:00:00:00:00:00:07", State: Assigned, Since: "2026-01-02T03:04:05Z",
		PKeys:     []LedgerClaim{{PKey: "0x1000", Membership: "full", Index0: true, IPoIB: true}, {PKey: "0x20", Membership: "limited"}},
		Namespace: "team", Pod: "train-0", PodUID: "8d3c-11", Interface: "net1", Network: "team/rail1", Node: "node1",
	}
}

func TestARowIsStoredAsOneLineThatAPersonCanRead(t *testing.T) {
	edited := func(edit func(*LedgerRow)) LedgerRow {
		r := trainRow()
		edit(&r)
		return r
	}
	for _, tc := range []struct {
		old, text string // of the line
		row       LedgerRow
	}{
		{"", "", trainRow()},
		{"0x1000:full:index0:ipoib,0x20:limited", "-", edited(func(r *LedgerRow) { r.PKeys = nil })},
		{"0x20:limited", "0x20:limited:ipoib", edited(func(r *LedgerRow) { r.PKeys[1].IPoIB = true })},
		{"node1 -", "- boot", edited(func(r *LedgerRow) { r.Node, r.BootID = "", "boot" })},
		{"node1 -", "? %2D", edited(func(r *LedgerRow) { r.Node, r.BootID = "?", "-" })},
		{"net1", "n%C3%BC%25%20/,", edited(func(r *LedgerRow) { r.Interface = "nü% /," })},
		{"team/train-0", "te%2Fam/-", edited(func(r *LedgerRow) { r.Namespace, r.Pod = "te/am", "" })},
		{"0x20:limited", "-:-", edited(func(r *LedgerRow) { r.PKeys[1] = LedgerClaim{} })},
		{"0x20:limited", "a%2Cb:c%3Aindex0", edited(func(r *LedgerRow) { r.PKeys[1] = LedgerClaim{PKey: "a,b", Membership: "c:index0"} })},
	} {
		text := strings.Replace(line, tc.old, tc.text, 1)
		if got := tc.row.String(); got != text {
			t.Errorf("stored as\n%s, want\n%s", got, text)
		}
		var back LedgerRow
		if err := json.Unmarshal([]byte(`"`+text+`"`), &back); err != nil || !cmp.Equal(back, tc.row) {
			t.Errorf("%s: %v, read as %#v", text, err, back)
		}
	}
}

// texts are any bytes at all, and those that mean something in a row.
func texts() *rapid.Generator[string] {
	telling := rapid.SampledFrom([]string{"", "-", "--", " ", "%", "%2D", "/", "a/b", ",", ":", ":index0", "full:ipoib", "é", "\x00", "\"", "\\", "<&>", "\u2028", "node-1"})
	whole := rapid.OneOf(telling, rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }), rapid.String())
	return rapid.OneOf(whole, rapid.Map(rapid.SliceOfN(whole, 2, 3), func(s []string) string { return strings.Join(s, "") }))
}

func TestARowComesBackAsItWasWhateverStandsInIt(t *testing.T) {
	anything := texts()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) string { return anything.Draw(t, what) }
		r := LedgerRow{
			GUID: draw("guid"), State: RowState(draw("state")), Since: draw("since"), Namespace: draw("namespace"), Pod: draw("pod"),
			PodUID: types.UID(draw("uid")), Interface: draw("interface"), Network: draw("network"), Node: draw("node"), BootID: draw("boot ID"),
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "claims") {
			r.PKeys = append(r.PKeys, LedgerClaim{
				PKey: draw(fmt.Sprint("pkey", i)), Membership: draw("membership"), Index0: rapid.Bool().Draw(t, "index0"), IPoIB: rapid.Bool().Draw(t, "ipoib"),
			})
		}
		text, err := json.Marshal(LedgerSpec{Rows: []LedgerRow{r}})
		if err != nil {
			t.Fatal(err)
		}
		var back LedgerSpec
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff([]LedgerRow{r}, back.Rows); diff != "" {
			t.Fatalf("%s (-stored +read):\n%s", text, diff)
		}
	})
}

// spoiltRows is the JSON of what is no row.
func spoiltRows() []string {
	rows := []string{
		`null`, `5`, `true`, `[]`, `{}`, `{"guid":"02:00:00:00:00:00:00:07","pod":["a"]}`, `[null,{"rows":[1e400]}]`,
		`""`, `" "`, `"-"`, `"a row? <no> & \"never\""`, `"` + line + ` more"`, `"` + line + ` "`, `" ` + line + `"`,
	}
	for old, text := range map[string]string{
		"node1 -":      "node1",
		"node1":        "node1 ",    // two spaces
		"net1":         "net1\\t",   // a tab
		"train-0":      "train/0",   // three parts
		"team/train-0": "train-0",   // one
		"8d3c-11":      "8d3c%2d11", // what needs no escape
		"rail1":        "rail%1",
		"0x20:limited": "0x20",
		":limited":     ":limited:ipoib:index0",
		"limited ":     "limited, ",
		"full":         "f\\u00fcll",
	} {
		rows = append(rows, `"`+strings.Replace(line, old, text, 1)+`"`)
	}
	return rows
}

func TestARowThatHasNotTheFormStaysByteForByteAmongTheOthers(t *testing.T) {
	sound := `"` + line + `"`
	rows := append(spoiltRows(), sound)
	spec := received(t, `{"rows":[`+strings.Join(rows, ",")+`]}`)
	for i, r := range spec.Rows[:len(rows)-1] {
		if r.Spoilt != rows[i] {
			t.Errorf("%s was read as %#v", rows[i], r)
		}
	}
	if last := spec.Rows[len(rows)-1]; !cmp.Equal(last, trainRow()) {
		t.Errorf("the sound row was read as %#v", last)
	}
	if got, want := write(t, spec), `{"rows":[`+strings.Join(rows, ",")+`]}`; got != want {
		t.Errorf("stored again as\n%s, want\n%s", got, want)
	}
}

// received is a spec as Kubernetes' clients read it, with a decoder of their own.
func received(t *testing.T, spec string) LedgerSpec {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := `{"apiVersion":"ibfabric.io/v1alpha1","kind":"Ledger","metadata":{"name":"l"},"spec":` + spec + `}`
	got, err := runtime.Decode(serializer.NewCodecFactory(scheme).UniversalDeserializer(), []byte(object))
	if err != nil {
		t.Fatalf("one row makes all unreadable: %v", err)
	}
	return got.(*Ledger).Spec
}

// write is the JSON of v as Kubernetes' clients send it, but for HTML's characters, which
// they write as \u003c and so on: that is the same text.
func write(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func FuzzARowIsReadWholeOrStaysAsItIs(f *testing.F) {
	f.Add([]byte(`"` + line + `"`))
	for _, row := range spoiltRows() {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		var r, again LedgerRow
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		stored := []byte(write(t, r))
		if !same(t, stored, text) {
			t.Fatalf("%s is stored again as %s", text, stored)
		}
		if err := json.Unmarshal(stored, &again); err != nil || r.Spoilt == "" && !cmp.Equal(r, again) {
			t.Fatalf("%s was read as %#v, and stored and read again as %#v: %v", text, r, again, err)
		}
	})
}

// same compares JSON: strings by what they say, all else to the byte, white space aside.
func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y *string // nil: null
	if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x != nil && y != nil {
		return *x == *y
	}
	var m, n bytes.Buffer
	if json.Compact(&m, a) != nil || json.Compact(&n, b) != nil {
		t.Fatalf("no JSON: %s, %s", a, b)
	}
	return bytes.Equal(m.Bytes(), n.Bytes())
}

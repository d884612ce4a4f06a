package attach

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnmarkTakesTheWordBackAndNothingElse(t *testing.T) {
	for name, tc := range map[string]struct {
		text     string
		elements []int
		want     string
	}{
		"the GUID stays as a wish": {`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5"}}]`, []int{0},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","pkey":"0x5"}}]`},
		"others stay to the byte": {`[{ "name" : "a", "cni-args" : { "mellanox.infiniband.app" : "configured" } },{"name":"b","n":1.0e0,"cni-args":{"mellanox.infiniband.app":"configured","x":[ 1 ]}}]`, []int{1},
			`[{ "name" : "a", "cni-args" : { "mellanox.infiniband.app" : "configured" } },{"name":"b","n":1.0e0,"cni-args":{"x":[ 1 ]}}]`},
		"an escaped key": {`[{"name":"ib","cni-args":{"mellanox.infiniband.\u0061pp":"configured","\u0078":1}}]`, []int{0},
			`[{"name":"ib","cni-args":{"\u0078":1}}]`},
		"a doubled key": {`[{"name":"ib","cni-args":{"mellanox.infiniband.app":"no","mellanox.infiniband.app":"configured"}}]`, []int{0},
			`[{"name":"ib","cni-args":{}}]`},
		"doubled cni-args": {`[{"name":"ib","CNI-Args":{"mellanox.infiniband.app":"configured"},"cni-args":{"guid":5}}]`, []int{0},
			`[{"name":"ib","CNI-Args":{},"cni-args":{"guid":5}}]`},
		"the word elsewhere":   {`[{"name":"ib","mellanox.infiniband.app":"configured"}]`, []int{0}, `[{"name":"ib","mellanox.infiniband.app":"configured"}]`},
		"an element that is 5": {`[5]`, []int{0}, `[5]`},
		"nothing to take back": {`ib, x`, nil, `ib, x`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Unmark("default", tc.text, tc.elements)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("err %v, diff\n%s", err, diff)
			}
		})
	}
}

func TestUnmarkRefusesAnElementThatIsNotThere(t *testing.T) {
	for _, i := range []int{-1, 1} {
		if got, err := Unmark("default", `[{"name":"a"}]`, []int{i}); err == nil || got != "" {
			t.Errorf("element %d: %q, %v", i, got, err)
		}
	}
}

// Whatever is wrong with an element, the CNI is told what encoding/json makes of it.
func TestOfABadElementIsKnownWhatTheCNIBelieves(t *testing.T) {
	for name, text := range map[string]string{
		"a doubled GUID":   `{"name":"ib","cni-args":{"guid":"0200000000000001","Guid":"1","mellanox.infiniband.app":"configured"}}`,
		"a doubled name":   `{"name":"x","Name":"ib","cni-args":{"mellanox.infiniband.app":"configured"}}`,
		"doubled cni-args": `{"name":"ib","cni-args":{"mellanox.infiniband.app":"configured"},"CNI-ARGS":{"guid":"1"}}`,
		"a GUID that is 5": `{"name":"ib","cni-args":{"guid":5,"mellanox.infiniband.app":"configured"}}`,
	} {
		got, err := ParseAnnotation("pods", `[`+text+`]`)
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		if e := got[0]; e.Err == nil || !e.Configured || e.Network != named("pods", "ib") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func FuzzUnmark(f *testing.F) {
	for _, s := range annotationSeeds() {
		f.Add(s)
	}
	f.Add(`[{"name":"x","Name":"ib","cni-args":{"mellanox.infiniband.app":"configured"},"CNI-ARGS":{"mellanox.infiniband.app":"configured"}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		before, err := ParseAnnotation("pods", text)
		if err != nil || !strings.ContainsAny(text, `[{"`) {
			return
		}
		var marked []int
		for _, e := range before {
			if e.Configured {
				marked = append(marked, e.Index)
			}
		}
		text, err = Unmark("pods", text, marked)
		if err != nil || !json.Valid([]byte(text)) {
			t.Fatalf("%q: %v", text, err)
		}
		after, err := ParseAnnotation("pods", text)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%q: %v", text, err)
		}
		for i, e := range after {
			if e.Configured || e.GUID != before[i].GUID && before[i].Err == nil || e.Network != before[i].Network || e.Interface != before[i].Interface {
				t.Fatalf("%q: %+v was %+v", text, e, before[i])
			}
		}
	})
}

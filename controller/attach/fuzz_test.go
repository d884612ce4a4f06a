package attach

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func annotationSeeds() []string {
	return []string{
		"", " ", "ib", "gpu/ib@net1,b", "a,,b@x@y", `[]`, `[null]`, `{"name":"a"}`, `null[`,
		`[{"name":"a"},{"name":"b","namespace":"n","interface":"ib0"}]`,
		`[{"name":"a","infiniband-guid":"0x0200000000000001","cni-args":{"guid":5}}]`,
		`[{"Name":"a","NAME":"b","cni-args":{"pkey":7.5,"\u0070key":"0x1"}} , 5]`,
		`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5","ibfabric.io/pkeys":"0x5:full:index0,0x20:limited"}}]`,
		"[{\"name\":\"\xff\",\"\xff\":1,\"interface\":\"\xff\"}]",
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, config := range []string{
		"", "{", "[]", "null", `{"type":"ib-sriov","pkey":"0x1000"}`, `{"type":"ib-sriov","pkey":1,"PKEY":2}`,
		`{"plugins":[{"type":"tuning"},{"type":"ib-sriov","capabilities":{"infinibandGUID":true}}]}`,
		`{"type":"macvlan","plugins":[null]}`,
	} {
		f.Add(config, "storage:limited,0x20", "", "limited")
		f.Add(config, "0x", "tenant", "")
	}
	f.Fuzz(func(t *testing.T, config, also, partition, membership string) {
		n, err := ParseNetwork(nad, config, map[string]string{AlsoAnnotation: also, PartitionAnnotation: partition, MembershipAnnotation: membership})
		if err != nil {
			wantFit(t, err)
			return
		}
		if err := CheckClaims(n.Claims); err != nil || !n.InfiniBand && len(n.Claims) > 0 {
			t.Fatalf("%q: %+v, %v", config, n, err)
		}
		for _, c := range n.Claims {
			if c.PKey.IsValid() == isPartitionName(c.Partition) {
				t.Fatalf("%q: the claim %+v is by PKey and name, or by neither", config, c)
			}
		}
	})
}

func FuzzParseAnnotation(f *testing.F) {
	for _, s := range annotationSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		StatusGUIDs(text)
		if strings.ContainsAny(text, `[{"`) {
			compareWithLibrary(t, text)
		}
		elements, err := ParseAnnotation("pods", text)
		if err != nil {
			wantFit(t, err)
		}
		seen := map[string]bool{}
		for i, e := range elements {
			if e.Err != nil {
				wantFit(t, e.Err)
				continue
			}
			if e.Index != i || !isInterface(e.Interface) || seen[e.Interface] || !isSubdomain(e.Network.Name) || e.GUID != 0 && !e.GUID.IsValid() {
				t.Fatalf("%q: %+v", text, e)
			}
			seen[e.Interface] = true
		}
	})
}

func FuzzEdit(f *testing.F) {
	for _, s := range annotationSeeds() {
		f.Add(s, 0, uint64(1), true, uint16(5), uint16(0x20))
		f.Add(s, 1, uint64(1)<<57, false, uint16(0), uint16(0))
	}
	f.Fuzz(func(t *testing.T, text string, index int, g uint64, top bool, primary, second uint16) {
		w := Write{Index: index, GUID: guid.GUID(g)}
		if top {
			w.Field = InTopLevel
		}
		if primary != 0 {
			w.Claims = []Claim{{PKey: pkey.PKey(primary), Mode: pkey.Mode{Index0: true}}}
		}
		if second != 0 {
			w.Claims = append(w.Claims, Claim{PKey: pkey.PKey(second), Mode: pkey.Mode{Membership: pkey.Limited}})
		}
		after, err := Edit("pods", text, []Write{w})
		if err != nil {
			return
		}
		checkEdit(t, text, after, w)
	})
}

// checkEdit wants in after what w says, and all else of before.
func checkEdit(t *testing.T, before, after string, w Write) {
	if again, err := Edit("pods", after, []Write{w}); err != nil || again != after {
		t.Fatalf("a second time: %v\n%q\n%q", err, after, again)
	}
	was, err := split("pods", before)
	if err != nil {
		t.Fatal(err)
	}
	var is []json.RawMessage
	if err := json.Unmarshal([]byte(after), &is); err != nil || len(is) != len(was) {
		t.Fatalf("%q became %q: %v", before, after, err)
	}
	for i := range was {
		if i != w.Index && string(is[i]) != string(was[i].raw) {
			t.Fatalf("element %d: %q became %q", i, was[i].raw, is[i])
		}
	}
	elements, err := ParseAnnotation("pods", after)
	if err != nil {
		t.Fatalf("%q: %v", after, err)
	}
	old, _ := ParseAnnotation("pods", before)
	e := elements[w.Index]
	if e.GUID != w.GUID || !e.Configured || !slices.Equal(e.Recorded, w.Claims) || e.Network != old[w.Index].Network || e.Interface != old[w.Index].Interface {
		t.Fatalf("%q: %+v, written %+v", after, e, w)
	}
	if inTop := strings.EqualFold(readTop(t, is[w.Index]), w.GUID.String()); inTop != (w.Field == InTopLevel) {
		t.Fatalf("%q: GUID in the wrong field", is[w.Index])
	}
}

func readTop(t *testing.T, raw json.RawMessage) string {
	o, ok := parseObject(raw)
	if !ok {
		t.Fatalf("%q is no object", raw)
	}
	text, err := o.text("", topLevelGUID)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

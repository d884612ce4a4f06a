package multus

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// FuzzDecode reads any object: it is refused in a fit message, or its NADs can be read.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"spec":null}`, `{"spec":{"cniType":5}}`, `{"metadata":{"annotations":{"multus.spidernet.io/cr-name":"A"},"labels":5}}`,
		`{"metadata":{"name":"a","annotations":{"cni.spidernet.io/rdma-resource-inject":"x","ibfabric.io/also":"0x20"}},"spec":{"cniType":"ib-sriov","disableIPAM":true,"ibsriov":{"resourceName":"a/b","pkey":"0x1000","enableIbKubernetes":true,"ibKubernetesEnabled":false}}}`,
		`{"spec":{"cniType":"sriov","ipam":{"type":"static"},"chainCNIJsonData":["{\"type\":\"ib-sriov\"}"],"sriov":{"resourceName":"a/b","mtu":1e3,"ippools":{"ipv4":[""]}}}}`,
		`{"spec":{"cniType":"macvlan","macvlan":{"master":["a","b"],"bond":{"name":"b","mode":7},"vlanID":1},"coordinator":{"mode":"auto","policyRoutes":[{"dst":"a"}]}}}`,
		`{"spec":{"cniType":"custom","customCNI":"{\"plugins\":[{\"type\":\"ib-sriov\",\"pkey\":1,\"PKEY\":2}]}"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o map[string]any
		if json.Unmarshal(text, &o) != nil {
			return
		}
		before, _ := json.Marshal(o)
		c, err := Decode(&unstructured.Unstructured{Object: o})
		if after, _ := json.Marshal(o); string(after) != string(before) {
			t.Fatalf("the object was changed: %s", after)
		}
		if err != nil {
			wantFit(t, err)
			return
		}
		for _, s := range []Settings{{}, {Coordinator: true}, {SpiderpoolIPAM: true}, {Coordinator: true, SpiderpoolIPAM: true}} {
			checkNAD(t, c, s)
		}
	})
}

func checkNAD(t *testing.T, c Config, s Settings) {
	t.Helper()
	nad, err := c.NAD(s)
	if err != nil {
		wantFit(t, err)
		return
	}
	again, err := c.NAD(s)
	if err != nil || !cmp.Equal(nad, again) {
		t.Fatalf("%v, and the second time not the same: %v", err, cmp.Diff(nad, again))
	}
	net, err := attach.ParseNetwork(nameOf(nad), nad.Spec.Config, nad.Annotations)
	if err != nil || c.CNIType == IBSRIOV && !net.InfiniBand {
		t.Fatalf("%s: %+v, %v", nad.Spec.Config, net, err)
	}
	if !s.Coordinator && strings.Contains(nad.Spec.Config, `"type":"coordinator"`) && c.CNIType != Custom {
		t.Fatalf("a coordinator that is not there: %s", nad.Spec.Config)
	}
	if n, ok := c.Main.(IBSRIOVNetwork); ok && n.PKey != 0 && net.Claims[0].PKey != n.PKey {
		t.Fatalf("PKey %s became %s", n.PKey, net.Claims[0].PKey)
	}
}

func TestBothGenerationsMeanTheSameNAD(t *testing.T) {
	older := map[string]string{"rdmaIsolation": "enableRdma", "enableIbKubernetes": "ibKubernetesEnabled"}
	rapid.Check(t, func(r *rapid.T) {
		cniType := rapid.SampledFrom([]string{IBSRIOV, SRIOV}).Draw(r, "type")
		block := map[string]any{"resourceName": "a/b"}
		if rapid.Bool().Draw(r, "isolates") {
			block["rdmaIsolation"] = rapid.Bool().Draw(r, "isolation")
		}
		if cniType == IBSRIOV {
			if rapid.Bool().Draw(r, "says") {
				block["enableIbKubernetes"] = rapid.Bool().Draw(r, "wait")
			}
			block["pkey"] = rapid.SampledFrom([]any{nil, "", "0x1", "0X10", "0x7ffe", int64(5), float64(4096)}).Draw(r, "pkey")
		}
		renamed := maps.Clone(block)
		for now, then := range older {
			// ib-sriov never had another name for its isolation.
			if v, ok := renamed[now]; ok && (cniType == SRIOV || now != "rdmaIsolation") {
				delete(renamed, now)
				renamed[then] = v
			}
		}
		var nads []string
		for _, b := range []map[string]any{block, renamed} {
			spec := map[string]any{"cniType": cniType, "disableIPAM": true, strings.ReplaceAll(cniType, "-", ""): b}
			c, err := Decode(&unstructured.Unstructured{Object: map[string]any{"spec": spec}})
			if err != nil {
				r.Fatal(err)
			}
			nad, err := c.NAD(Settings{})
			if err != nil {
				r.Fatal(err)
			}
			nads = append(nads, nad.Spec.Config)
		}
		if nads[0] != nads[1] {
			r.Fatalf("%s\n%s", nads[0], nads[1])
		}
	})
}

func TestInjectingTwiceIsInjectingOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		groups := []string{"a", "b", "a,b"}
		var all []Candidate
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`gpu[0-9]{1,3}`), 1, 12, rapid.ID).Draw(r, "names") {
			all = append(all, rail(name, rapid.SampledFrom(groups).Draw(r, "group"), rapid.SampledFrom([]string{"x/1", "x/2"}).Draw(r, "resource")))
		}
		own := rapid.SampledFrom([]string{"", "[]", "eth", "spiderpool/gpu1,eth@foo", `[{"name":"gpu7","namespace":"spiderpool"}]`}).Draw(r, "own")
		p := asks(RDMAInject, rapid.SampledFrom(groups).Draw(r, "asks"), networks, own)
		first, err := Inject(p, Namespaces{}, all)
		if err != nil {
			return // a group that nobody is in
		}
		shuffled := rapid.Permutation(all).Draw(r, "another order")
		if other, err := Inject(p, Namespaces{}, shuffled); err != nil || !cmp.Equal(first, other) {
			r.Fatalf("in another order: %v, %s", err, cmp.Diff(first, other))
		}
		if first.Networks != "" {
			p.Annotations[networks] = first.Networks
		}
		second, err := Inject(p, Namespaces{}, all)
		if err != nil || second.Networks != "" || !cmp.Equal(first.Resources, second.Resources) {
			r.Fatalf("%+v\nthen %+v, %v", first, second, err)
		}
	})
}

func TestNamesSortAsPeopleCount(t *testing.T) {
	want := []string{"", "a", "gpu", "gpu01", "gpu1", "gpu1-a", "gpu2", "gpu10", "gpu10a", "gpu99999999999999999999", "gpu100000000000000000000", "gpux"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, natural)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	name := rapid.StringMatching(`[a/0-]{0,3}[0-9]{0,3}[a-]{0,2}`)
	rapid.Check(t, func(r *rapid.T) {
		a, b, c := name.Draw(r, "a"), name.Draw(r, "b"), name.Draw(r, "c")
		if natural(a, b) != -natural(b, a) || (natural(a, b) == 0) != (a == b) {
			r.Fatalf("%q and %q have no order", a, b)
		}
		if natural(a, b) < 0 && natural(b, c) < 0 && natural(a, c) >= 0 {
			r.Fatalf("%q < %q < %q, but not the first before the last", a, b, c)
		}
	})
}

package attach

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// A comma list is rewritten as JSON with the first write into it. Nobody's network may
// become another by that.
func FuzzACommaListMeansTheSameAsJSON(f *testing.F) {
	for _, s := range []string{"ib", "gpu/ib@net1,b", " a , b/c@d ", "a,,b", "a,a,a", "a@net2,b", "a@net2,b@net2", "a/b/c", "@", "a@", "/a", "A", "a\n,b", "ａ", "a@é"} {
		f.Add(s, "pods")
	}
	f.Add("ib,x/ib", "")
	f.Fuzz(func(t *testing.T, text, podNamespace string) {
		if strings.ContainsAny(text, `[{"`) || podNamespace != "" && !isLabel(podNamespace) {
			return
		}
		before, err := ParseAnnotation(podNamespace, text)
		if err != nil {
			t.Fatalf("%q has no elements: %v", text, err)
		}
		var writes []Write
		whole := true
		for _, e := range before {
			if e.Err != nil {
				wantFit(t, e.Err)
				whole = whole && e.Network.Name != "" // a part that is none cannot be written as JSON
				continue
			}
			writes = append(writes, Write{Index: e.Index, GUID: guid.GUID(e.Index + 1)})
		}
		after, err := Edit(podNamespace, text, writes)
		if len(writes) == 0 {
			return
		}
		if whole != (err == nil) {
			t.Fatalf("%q: whole %t, %v", text, whole, err)
		}
		if err != nil {
			return
		}
		again, err := ParseAnnotation("elsewhere", after) // the namespace is written down
		if podNamespace == "" {
			again, err = ParseAnnotation("", after)
		}
		if err != nil || len(again) != len(before) {
			t.Fatalf("%q became %q: %v", text, after, err)
		}
		for i, e := range again {
			if e.Network != before[i].Network || e.Interface != before[i].Interface {
				t.Fatalf("%q: element %d was %+v and is %+v", text, i+1, before[i], e)
			}
		}
	})
}

// Several elements are ours: each gets what is its own, and a second pass changes nothing.
func FuzzEditOfAllElementsAtOnce(f *testing.F) {
	for _, s := range annotationSeeds() {
		f.Add(s, uint64(1), uint16(5))
	}
	f.Add(`[{"name":"a"},{"name":"a"},{"name":"b","interface":"net1"}]`, uint64(1)<<60, uint16(0))
	f.Fuzz(func(t *testing.T, text string, g uint64, p uint16) {
		elements, err := ParseAnnotation("pods", text)
		if err != nil {
			return
		}
		var writes []Write
		for _, e := range elements {
			w := Write{Index: e.Index, GUID: guid.GUID(g>>1) + guid.GUID(e.Index) + 1, Field: GUIDField(e.Index % 2)}
			if key := pkey.PKey(p); key.IsValid() {
				w.Claims = []Claim{{PKey: key, Mode: pkey.Mode{Index0: e.Index%3 == 0}}}
			}
			if e.Err == nil {
				writes = append(writes, w)
			}
		}
		after, err := Edit("pods", text, writes)
		if err != nil {
			wantFit(t, err)
			return
		}
		now, err := ParseAnnotation("pods", after)
		if err != nil || len(now) != len(elements) {
			t.Fatalf("%q became %q: %v", text, after, err)
		}
		for _, w := range writes {
			if e := now[w.Index]; e.Err != nil || e.GUID != w.GUID || !e.Configured || !slices.Equal(e.Recorded, w.Claims) {
				t.Fatalf("%q: %+v, written %+v", after, e, w)
			}
		}
		slices.Reverse(writes)
		if again, err := Edit("pods", after, writes); err != nil || again != after {
			t.Fatalf("a second time, backwards: %v\n%q\n%q", err, after, again)
		}
	})
}

// hardwareAddr is what the kernel prints of an IPoIB interface: 20 bytes.
var hardwareAddr = regexp.MustCompile(`^(?i:([0-9a-f]{2}:){19}[0-9a-f]{2}|([0-9a-f]{2}-){19}[0-9a-f]{2}|([0-9a-f]{4}\.){9}[0-9a-f]{4})$`)

func FuzzStatusGUIDIsTheEndOfAHardwareAddress(f *testing.F) {
	for _, mac := range []string{
		"", "00:00:10:87:fe:80:00:00:00:00:00:00:02:00:00:00:00:00:00:01", "00-00-10-87-fe-80-00-00-00-00-00-00-02-00-00-00-00-00-00-0A",
		"0000.1087.fe80.0000.0000.0000.0200.0000.0000.0001", "02:00:00:00:00:01", "00:00:10:87:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
		strings.Repeat("ff:", 19) + "ff", "zz", strings.Repeat("00:", 1000),
	} {
		f.Add(mac, "gpu/rail1", "net1")
	}
	f.Add("00:00:10:87:fe:80:00:00:00:00:00:00:02:00:00:00:00:00:00:01", "no-namespace", "\xff")
	f.Fuzz(func(t *testing.T, mac, name, ifname string) {
		text, err := json.Marshal([]any{5, nil, map[string]any{"name": 7}, map[string]any{"name": name, "interface": ifname, "mac": mac, "ips": []int{1}}})
		if err != nil {
			t.Fatal(err)
		}
		got := StatusGUIDs(string(text))
		want := guid.GUID(0)
		if hardwareAddr.MatchString(mac) {
			raw, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "", ".", "").Replace(mac)[24:])
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range raw {
				want = want<<8 | guid.GUID(b)
			}
		}
		if !want.IsValid() {
			if len(got) != 0 {
				t.Fatalf("%q is %+v", mac, got)
			}
			return
		}
		if len(got) != 1 || got[0].GUID != want {
			t.Fatalf("%q is %+v, want %s", mac, got, want)
		}
	})
}

func FuzzStatusGUIDsTakesAnyText(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", "[", `[[]]`, `[{"mac":5},{"MAC":"00:00:10:87:fe:80:00:00:00:00:00:00:02:00:00:00:00:00:00:01"}]`,
		`[{"name":"a/b/c","interface":"net1","mac":"00:00:10:87:fe:80:00:00:00:00:00:00:02:00:00:00:00:00:00:01"},{"name":"x","dns":{}}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found := StatusGUIDs(text)
		for _, s := range found {
			if !s.GUID.IsValid() {
				t.Fatalf("%q: %+v", text, s)
			}
		}
		if len(found) > 0 && !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON and gave %+v", text, found)
		}
	})
}

func FuzzParseClaimsTakesWhatFormatClaimsWrites(f *testing.F) {
	for _, s := range []string{
		"", "0x5:full:index0,0x20:limited", "0x5", "0x5:", "0x5:index0", "0x5:full:index0:index0", "0x5:full,0x0005:full", "0x5:FULL", "0x5::index0",
		"0x5:full:index0,0x6:full:index0", "0x7fff:full", ",", "0x5:full,", strings.Repeat("0x5:full,", 1000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := ParseClaims(text)
		if err != nil {
			wantFit(t, err)
			return
		}
		if len(claims) == 0 || CheckClaims(claims) != nil {
			t.Fatalf("%q was taken for %+v", text, claims)
		}
		for _, c := range claims {
			if !c.PKey.IsValid() || c.Partition != "" {
				t.Fatalf("%q holds %+v", text, c)
			}
		}
		if back, err := ParseClaims(FormatClaims(claims)); err != nil || !slices.Equal(back, claims) {
			t.Fatalf("%q is %+v, which came back as %+v, %v", text, claims, back, err)
		}
	})
}

// what libcni and ib-kubernetes decode a plugin into
type plainPlugin struct {
	Type         string          `json:"type"`
	PKey         json.RawMessage `json:"pkey"`
	Capabilities map[string]bool `json:"capabilities"`
	Plugins      []plainPlugin   `json:"plugins"`
}

// What is taken without complaint means to encoding/json what it means to us.
func FuzzANetworkMeansWhatAPlainReaderSees(f *testing.F) {
	for _, s := range []string{
		`{"type":"ib-sriov","pkey":"0x1000"}`, `{"type":"ib-sriov","pkey":4096}`, `{"TYPE":"ib-sriov","\u0050Key":"0x5"}`,
		`{"type":"ib-sriov","pkey":"0x5","pkey":"0x6"}`, `{"plugins":[{"type":"tuning"},{"type":"ib-sriov","pkey":"0x5"}],"pkey":"0x6"}`,
		`{"type":"ib-sriov","capabilities":{"infinibandGUID":true}}`, `{"plugins":[{"type":"ib-sriov","pkey":"0x5"},{"type":"ib-sriov","pkey":"0x6"}]}`,
		`{"type":"ib-sriov","pkey":[]}`, `{"type":"ib-sriov","pkey":null,"ipam":{"pkey":"0x7"}}`, `{"plugins":null,"type":"ib-sriov"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, config string) {
		n, err := ParseNetwork(nad, config, nil)
		if err != nil {
			wantFit(t, err)
			return
		}
		var plain plainPlugin
		if config == "" || json.Unmarshal([]byte(config), &plain) != nil {
			return // a wrong type in a field that is not for us, and it reads nothing
		}
		ours := []plainPlugin{}
		for _, p := range append([]plainPlugin{plain}, plain.Plugins...) {
			if p.Type == CNIType {
				ours = append(ours, p)
			}
		}
		if plain.Type == CNIType {
			ours = ours[:1] // a chain beside a type of its own is run by nobody
		}
		if len(ours) > 1 || (len(ours) == 1) != n.InfiniBand {
			t.Fatalf("%s has %d plugins of ours and was taken as %+v", config, len(ours), n)
		}
		if len(ours) == 0 {
			return
		}
		want, err := pkey.ParseJSON(ours[0].PKey)
		if have := slices.Collect(keysOf(n.Claims)); err != nil || want == 0 && have != nil || want != 0 && !slices.Equal(have, []pkey.PKey{want}) {
			t.Fatalf("%s: partitions %v, a plain reader sees %s, %v", config, have, want, err)
		}
		if ours[0].Capabilities["infinibandGUID"] != (n.GUIDField == InTopLevel) {
			t.Fatalf("%s: GUID field %d, capabilities %v", config, n.GUIDField, ours[0].Capabilities)
		}
	})
}

func keysOf(claims []Claim) func(func(pkey.PKey) bool) {
	return func(yield func(pkey.PKey) bool) {
		for _, c := range claims {
			if !yield(c.PKey) {
				return
			}
		}
	}
}

// alsoItem is one part of ibfabric.io/also: a PKey or the name of a Partition.
var alsoItem = regexp.MustCompile(`^(0[xX][0-9a-fA-F]+|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)(:(?i:full|limited))?$`)

func FuzzTheAnnotationsOfANetwork(f *testing.F) {
	for _, also := range []string{"", "storage:limited,0x20", " storage , 0x20:full", "20", "storage:", ":limited", "a,a", "0x5", "0x7fff", "a:b:c", ",", "Storage", "0x", "a..b"} {
		f.Add(also, "", "", "")
		f.Add(also, "limited", "false", "true")
	}
	f.Add("", "half", "yes", "TRUE")
	f.Add("", "Limited", "", "\xff")
	f.Fuzz(func(t *testing.T, also, membership, index0, ipoib string) {
		annotations := map[string]string{AlsoAnnotation: also, MembershipAnnotation: membership, Index0Annotation: index0, IPoIBAnnotation: ipoib}
		n, err := ParseNetwork(nad, `{"type":"ib-sriov","pkey":"0x5"}`, annotations)
		if !n.InfiniBand {
			t.Fatalf("no longer ours with %v", annotations)
		}
		if err != nil {
			wantFit(t, err)
			return
		}
		items := strings.Split(also, ",")
		if also == "" {
			items = nil
		}
		if len(n.Claims) != len(items)+1 {
			t.Fatalf("%q became %+v", also, n.Claims)
		}
		for i, item := range items {
			item, c := strings.TrimSpace(item), n.Claims[i+1]
			if !alsoItem.MatchString(item) || c.Index0 || !c.IPoIB || (c.Membership == pkey.Limited) != strings.HasSuffix(strings.ToLower(item), ":limited") {
				t.Fatalf("%q became %+v", item, c)
			}
			name, _, _ := strings.Cut(item, ":")
			if v, err := strconv.ParseUint(name, 0, 16); c.Partition != name && (err != nil || c.PKey != pkey.PKey(v)) {
				t.Fatalf("%q became %+v", item, c)
			}
		}
		first := n.Claims[0]
		if first.PKey != 5 || (first.Membership == pkey.Limited) != strings.EqualFold(membership, "limited") || first.Index0 != (index0 != "false") || first.IPoIB != (ipoib != "false") {
			t.Fatalf("%v became %+v", annotations, first)
		}
	})
}

package attach

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/pkey"
)

func TestEditWritesWhatIbKubernetesWrites(t *testing.T) {
	const g = 0x0200000000000001
	primary := []Claim{fullAt0(5)}
	further := []Claim{fullAt0(5), {PKey: 0x20, Mode: pkey.Mode{Membership: pkey.Limited}}}
	for name, tc := range map[string]struct {
		text   string
		writes []Write
		want   string
	}{
		"into cni-args": {`[{"name":"ib","namespace":"default"}]`, []Write{{0, g, InCNIArgs, primary}},
			`[{"name":"ib","namespace":"default","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5"}}]`},
		"into the capability's field": {`[{"name":"ib","namespace":"default"}]`, []Write{{0, g, InTopLevel, primary}},
			`[{"name":"ib","namespace":"default","infiniband-guid":"02:00:00:00:00:00:00:01","cni-args":{"mellanox.infiniband.app":"configured","pkey":"0x5"}}]`},
		"GUID only": {`[{"name":"ib"}]`, []Write{{0, g, InCNIArgs, nil}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":""}}]`},
		"further partitions": {`[{"name":"ib"}]`, []Write{{0, g, InCNIArgs, further}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5","ibfabric.io/pkeys":"0x5:full:index0,0x20:limited"}}]`},
		"one that is limited": {`[{"name":"ib"}]`, []Write{{0, g, InCNIArgs, further[1:]}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x20","ibfabric.io/pkeys":"0x20:limited"}}]`},
		"a comma list becomes JSON": {`ib, gpu/x@ib0`, []Write{{1, g, InCNIArgs, primary}},
			`[{"name":"ib","namespace":"default"},{"name":"x","namespace":"gpu","interface":"ib0","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5"}}]`},
		"others stay to the byte": {"[ {\"name\" : \"a\" , \"n\":1.0e0,\"\\u0078\":\"\\u00e9\"} ,\n{\"name\":\"ib\"}, {\"name\":5} ]", []Write{{1, g, InCNIArgs, nil}},
			"[{\"name\" : \"a\" , \"n\":1.0e0,\"\\u0078\":\"\\u00e9\"},{\"name\":\"ib\",\"cni-args\":{\"guid\":\"02:00:00:00:00:00:00:01\",\"mellanox.infiniband.app\":\"configured\",\"pkey\":\"\"}},{\"name\":5}]"},
		"other fields stay to the byte": {"[{ \"name\":\"ib\", \"ips\": [ \"1.2.3.4\" ],\"big\":123456789012345678901234567890, \"\\u0078\":1, \"cni-args\" : { \"foo\" : [ 1 ], \"guid\":5 } }]", []Write{{0, g, InCNIArgs, nil}},
			"[{\"name\":\"ib\",\"ips\":[ \"1.2.3.4\" ],\"big\":123456789012345678901234567890,\"\\u0078\":1,\"cni-args\":{\"foo\":[ 1 ],\"guid\":\"02:00:00:00:00:00:00:01\",\"mellanox.infiniband.app\":\"configured\",\"pkey\":\"\"}}]"},
		"a stale GUID in the other field goes": {`[{"name":"ib","cni-args":{"guid":"0200000000000009"}}]`, []Write{{0, g, InTopLevel, nil}},
			`[{"name":"ib","cni-args":{"mellanox.infiniband.app":"configured","pkey":""},"infiniband-guid":"02:00:00:00:00:00:00:01"}]`},
		"a stale GUID at the top goes": {`[{"name":"ib","infiniband-guid":"0200000000000009","cni-args":null}]`, []Write{{0, g, InCNIArgs, nil}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":""}}]`},
		"further partitions that are none any more go": {`[{"name":"ib","cni-args":{"ibfabric.io/pkeys":"junk"}}]`, []Write{{0, g, InCNIArgs, primary}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x5"}}]`},
		"a key in another case gets its own": {`[{"Name":"ib","CNI-Args":{"x":1}}]`, []Write{{0, g, InCNIArgs, nil}},
			`[{"Name":"ib","cni-args":{"x":1,"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":""}}]`},
		"a stale GUID under a key in another case goes": {`[{"name":"ib","Infiniband-GUID":"0200000000000009"}]`, []Write{{0, g, InCNIArgs, nil}},
			`[{"name":"ib","cni-args":{"guid":"02:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":""}}]`},
		"nothing to write": {`ib, x`, nil, `ib, x`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Edit("default", tc.text, tc.writes)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Fatalf("err %v, diff\n%s", err, diff)
			}
			if again, err := Edit("default", got, tc.writes); err != nil || again != got {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	ok := Write{Index: 0, GUID: 1}
	for name, tc := range map[string]struct {
		text   string
		writes []Write
		want   string
	}{
		"an element that is not there":  {`[{"name":"a"}]`, []Write{{Index: 1, GUID: 1}}, "there is no element 2 among 1"},
		"an element below the first":    {`a`, []Write{{Index: -1, GUID: 1}}, "there is no element 0 among 1"},
		"an element twice":              {`a`, []Write{ok, ok}, "element 1 is written twice"},
		"no GUID":                       {`a`, []Write{{}}, "element 1 is given no GUID"},
		"a name that is not resolved":   {`a`, []Write{{GUID: 1, Claims: []Claim{{Partition: "storage"}}}}, `partition "storage" has no PKey yet`},
		"a partition twice":             {`a`, []Write{{GUID: 1, Claims: []Claim{{PKey: 5}, {PKey: 5}}}}, "named twice"},
		"index 0 twice":                 {`a`, []Write{{GUID: 1, Claims: []Claim{fullAt0(5), fullAt0(6)}}}, "both want index 0"},
		"a part that is no element":     {`a,B`, []Write{ok}, "element 2: \"B\" names no network"},
		"to write into such a part":     {`B`, []Write{ok}, "element 1: \"B\" names no network"},
		"a doubled key":                 {`[{"name":"a","cni-args":{"guid":"1","Guid":"2"}}]`, []Write{ok}, `"guid" stands there 2 times`},
		"an element that is none":       {`[5]`, []Write{ok}, "not an object"},
		"an annotation that is no list": {`{}`, []Write{ok}, "not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Edit("default", tc.text, tc.writes)
			if err == nil || got != "" || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q, %v; want it to say %s", got, err, tc.want)
			}
		})
	}
}

func drawClaims(t *rapid.T) []Claim {
	keys := rapid.SliceOfNDistinct(rapid.Uint16Range(uint16(pkey.Min), uint16(pkey.Max)), 0, 5, rapid.ID).Draw(t, "pkeys")
	at0 := rapid.IntRange(-1, 4).Draw(t, "at index 0")
	var claims []Claim
	for i, k := range keys {
		m := rapid.SampledFrom([]pkey.Membership{pkey.Full, pkey.Limited}).Draw(t, "membership")
		claims = append(claims, Claim{PKey: pkey.PKey(k), Mode: pkey.Mode{Membership: m, Index0: i == at0}})
	}
	return claims
}

func TestClaimsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims := drawClaims(t)
		if len(claims) == 0 {
			return
		}
		text := FormatClaims(claims)
		if got, err := ParseClaims(text); err != nil || !slices.Equal(got, claims) {
			t.Fatalf("%s came back as %v, %v", text, got, err)
		}
	})
}

func TestClaimsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", ",", "0x5", "0x5:", "0x5:index0", "0x5:full:", "0x5:full:index1", "0x5:half", " 0x5:full", "0x5:full,", "5:full", "0x5:full,0x05:limited", "0x5::index0"} {
		if got, err := ParseClaims(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

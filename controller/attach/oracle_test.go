package attach

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/Mellanox/ib-kubernetes/pkg/utils"
	v1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// The oracles are the readers of others: encoding/json on the struct that Multus uses,
// and ib-kubernetes' own functions. What we take without complaint, they must see alike.

func drawObject(t *rapid.T, keys, values []string) string {
	n := rapid.IntRange(0, 6).Draw(t, "members")
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf("%q:%s", rapid.SampledFrom(keys).Draw(t, "key"), rapid.SampledFrom(values).Draw(t, "value"))
	}
	return strings.ReplaceAll("{"+strings.Join(members, ", ")+"}", "%u", `\u00`)
}

func drawAnnotation(t *rapid.T) string {
	var parts []string
	for range rapid.IntRange(0, 4).Draw(t, "elements") {
		args := drawObject(t,
			[]string{"guid", "pkey", "GUID", "mellanox.infiniband.app", "ibfabric.io/pkeys", "x", "%u70key"},
			[]string{`"02:00:00:00:00:00:00:01"`, `"0x5"`, `"configured"`, `"0x5:full,0x20:limited"`, `5`, `null`, `""`, `{}`})
		parts = append(parts, drawObject(t,
			[]string{"name", "Name", "namespace", "interface", "infiniband-guid", "Infiniband-GUID", "cni-args", "CNI-ARGS", "name%u73pace", "name\u017fpace", "x"},
			[]string{`"a"`, `"b-1"`, `"net2"`, `"0200000000000002"`, `null`, `5`, `""`, `"\u0061"`, args, args, args}))
	}
	return "[" + strings.Join(parts, " , ") + "]"
}

func TestAnnotationIsSeenAsTheLibrarysStructSeesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithLibrary(t, drawAnnotation(t)) })
}

// compareWithLibrary holds our reading of a JSON annotation against the library's.
func compareWithLibrary(t rapid.TB, text string) {
	t.Helper()
	var theirs []*v1.NetworkSelectionElement
	libraryErr := json.Unmarshal([]byte(text), &theirs)
	ours, err := ParseAnnotation("pods", text)
	if err != nil {
		if libraryErr == nil && strings.TrimSpace(text) != "null" {
			t.Fatalf("%s: refused, but the library takes it: %v", text, err)
		}
		return
	}
	if libraryErr != nil {
		return // one wrong type, also in a field that is not for us, and the library reads nothing
	}
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d elements, theirs %d", text, len(ours), len(theirs))
	}
	for i, e := range ours {
		if e.Err == nil {
			compareElement(t, e, theirs[i])
		}
	}
}

func compareElement(t rapid.TB, e Element, n *v1.NetworkSelectionElement) {
	t.Helper()
	if n.Namespace == "" {
		n.Namespace = "pods"
	}
	if e.Network != named(n.Namespace, n.Name) || n.InterfaceRequest != "" && e.Interface != n.InterfaceRequest {
		t.Fatalf("%+v, theirs %+v", e, n)
	}
	if e.Configured != utils.IsPodNetworkConfiguredWithInfiniBand(n) {
		t.Fatalf("configured %v, not ib-kubernetes' %+v", e.Configured, n)
	}
	text, err := utils.GetPodNetworkGUID(n)
	if text == "%!s(<nil>)" { // what it makes of null
		text = ""
	}
	if want, _ := guid.Parse(text); err == nil && want != e.GUID || err != nil && e.GUID != 0 {
		t.Fatalf("GUID %s, ib-kubernetes' %q, %v", e.GUID, text, err)
	}
}

func TestCommaListIsSplitByMultusGrammar(t *testing.T) {
	item := regexp.MustCompile(`^(?:\s*([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)?\s*/)?\s*([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\s*(?:@\s*([-.a-z0-9]*)\s*)?$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-c0-]{1,2}[a-c0/@ .-]{0,14}`).Draw(t, "item")
		got, err := ParseAnnotation("pods", text)
		if err != nil || len(got) != 1 {
			t.Fatalf("%q: %+v, %v", text, got, err)
		}
		m := item.FindStringSubmatch(strings.TrimSpace(text))
		if (m != nil && m[3] != "." && m[3] != "..") != (got[0].Err == nil) {
			t.Fatalf("%q: grammar %q, ours %+v", text, m, got[0])
		}
		if got[0].Err != nil {
			return
		}
		namespace, ifname := m[1], m[3]
		if namespace == "" {
			namespace = "pods"
		}
		if ifname == "" {
			ifname = "net1"
		}
		if got[0].Network != named(namespace, m[2]) || got[0].Interface != ifname {
			t.Fatalf("%q: grammar %q, ours %+v", text, m, got[0])
		}
	})
}

func TestNetworkIsSeenAsIbKubernetesSeesIt(t *testing.T) {
	keys := []string{"type", "pkey", "capabilities", "x", "%u70key"}
	values := []string{`"ib-sriov"`, `"macvlan"`, `"0x10"`, `""`, `null`, `{"infinibandGUID":true}`, `{"infinibandGUID":false,"ips":true}`, `"ib-sriov"`}
	rapid.Check(t, func(t *rapid.T) {
		config := drawObject(t, keys, values)
		if rapid.Bool().Draw(t, "chain") {
			config = `{"plugins":[` + drawObject(t, keys, values) + `,` + config + `]}`
		}
		ours, err := ParseNetwork(nad, config, nil)
		if err != nil {
			return
		}
		var spec map[string]any
		if err := json.Unmarshal([]byte(config), &spec); err != nil {
			t.Fatalf("%s was taken: %v", config, err)
		}
		theirs, err := utils.GetIbSriovCniFromNetwork(spec)
		if err != nil {
			if ours.InfiniBand && !strings.Contains(err.Error(), "cannot unmarshal") {
				t.Fatalf("%s was taken for InfiniBand: %v", config, err)
			}
			return
		}
		if !ours.InfiniBand || theirs.Capabilities["infinibandGUID"] != (ours.GUIDField == InTopLevel) {
			t.Fatalf("%s: %+v, theirs %+v", config, ours, theirs)
		}
		if (theirs.PKey == "") != (len(ours.Claims) == 0) || theirs.PKey == "0x10" && ours.Claims[0].PKey != 0x10 {
			t.Fatalf("%s: %+v, theirs %+v", config, ours, theirs)
		}
	})
}

func TestIbKubernetesReadsWhatWeWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Write{
			GUID:   guid.GUID(rapid.Uint64Range(1, 1<<63).Draw(t, "guid")),
			Field:  rapid.SampledFrom([]GUIDField{InCNIArgs, InTopLevel}).Draw(t, "field"),
			Claims: drawClaims(t),
		}
		text, err := Edit("pods", "ib", []Write{w})
		if err != nil {
			t.Fatal(err)
		}
		var list []*v1.NetworkSelectionElement
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		if g, err := utils.GetPodNetworkGUID(list[0]); err != nil || g != w.GUID.String() || !utils.IsPodNetworkConfiguredWithInfiniBand(list[0]) {
			t.Fatalf("%s: %s, %v", text, g, err)
		}
		for key, v := range *list[0].CNIArgs {
			// ib-sriov-cni reads cni-args as a map of strings.
			if _, ok := v.(string); !ok {
				t.Fatalf("%s: %s is no string", text, key)
			}
		}
		comparePKey(t, (*list[0].CNIArgs)["pkey"].(string), w.Claims)
	})
}

func comparePKey(t rapid.TB, text string, claims []Claim) {
	t.Helper()
	if len(claims) == 0 {
		if text != "" {
			t.Fatalf("pkey %q without a claim", text)
		}
		return
	}
	// ib-kubernetes 1.1.1 refuses a PKey that begins with a hex letter: mended in its
	// master, and the pod's own form of it is never parsed there.
	got, err := utils.ParsePKey(text)
	if letter := text[2] >= 'a'; !letter && (err != nil || pkey.PKey(got) != claims[0].PKey) {
		t.Fatalf("pkey %q is %#x to ib-kubernetes, %v", text, got, err)
	}
}

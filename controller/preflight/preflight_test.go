package preflight

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func network(name, config string) nadv1.NetworkAttachmentDefinition {
	n := nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	n.Spec.Config = config
	return n
}

func TestPoolsThatANetworkNamesMustBeThere(t *testing.T) {
	for config, want := range map[string]string{
		`{"type":"ib-sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1"]}}`:                                       "",
		`{"type":"ib-sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1","gpu91","gpu91"]}}`:                       "gpu91",
		`{"plugins":[{"type":"sriov","ipam":{"type":"spiderpool","default_ipv6_ippool":["six"]}},{"type":"rdma"}]}`:             "six",
		`{"plugins":[{"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu*"],"match_master_subnet":true}}]}`: "",
		`{"plugins":[{"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["rail1*","["]}}]}`:                      "rail1*,[",
		`{"type":"ib-sriov","ipam":{"type":"other","default_ipv4_ippool":["gpu91"]}}`:                                           "",
		`{"type":"ib-sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":"gpu91"}}`:                                        "",
		`{"type":"ib-sriov"}`: "", ``: "", `[]`: "", `{`: "", `{"plugins":7,"x":"_ippool"}`: "",
	} {
		pools := Pools{"gpu1": true, "gpu2": true}
		if got := strings.Join(pools.Missing(PoolsOf(config)), ","); got != want {
			t.Errorf("%s: %q is missing, want %q", config, got, want)
		}
		if got := Pools(nil).Missing(PoolsOf(config)); got != nil {
			t.Errorf("nobody knows, and %q is missing", got)
		}
	}
}

func TestPoolsThatAPodNames(t *testing.T) {
	got := PoolsOfPod(map[string]string{
		"ipam.spidernet.io/ippool":  `{"ipv4":["a"],"ipv6":["b"]}`,
		"ipam.spidernet.io/ippools": `[{"interface":"net1","ipv4":["c"],"cleangateway":true},{"interface":"net2","ipv6":["d"]}]`,
	})
	if diff := cmp.Diff([]string{"c", "d", "a", "b"}, got); diff != "" {
		t.Error(diff)
	}
	if got := PoolsOfPod(map[string]string{"ipam.spidernet.io/ippool": `["a"]`, "ipam.spidernet.io/ippools": `{`}); got != nil {
		t.Errorf("%q", got)
	}
}

func TestTheAuthorOfANetworkIsToldOfItsPool(t *testing.T) {
	yes := true
	made := network("gpu1-sriov", `{"type":"ib-sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net91"]}}`)
	made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "spiderpool.spidernet.io/v2beta1", Kind: "SpiderMultusConfig", Name: "gpu1", UID: "u", Controller: &yes}}
	byHand := network("by-hand", made.Spec.Config)
	all := Check(Cluster{Networks: []nadv1.NetworkAttachmentDefinition{made, byHand}, Pools: Pools{"gpu1-net11": true}})
	if len(all) != 2 || all[0].About.Kind != "SpiderMultusConfig" || all[0].About.Name != "gpu1" || all[1].About.Name != "by-hand" {
		t.Fatalf("%+v", all)
	}
	for _, says := range []string{"network ns/gpu1-sriov", "SpiderIPPool gpu1-net91, which does not exist (there are gpu1-net11)", "create it, or name one that does"} {
		if !strings.Contains(all[0].Detail, says) {
			t.Errorf("%s\nsays not %s", all[0].Detail, says)
		}
	}
	if !strings.Contains(Pools{}.Advise([]string{"a"}), "there is none yet") {
		t.Error("nobody hears that there is no pool at all")
	}
}

func policy(name string, age int, spec map[string]any) Policy {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetNamespace("ns")
	u.SetName(name)
	u.SetUID(types.UID(name))
	u.SetCreationTimestamp(metav1.NewTime(time.Unix(int64(1000-age), 0)))
	return ReadPolicy(u)
}

func nics(key string, values ...any) map[string]any {
	return map[string]any{"numVfs": int64(8), "nicSelector": map[string]any{key: values}}
}

func on(spec map[string]any, key, value string) map[string]any {
	spec["nodeSelector"] = map[string]any{key: value}
	return spec
}

func TestACardIsOnePolicysOnEachNode(t *testing.T) {
	const dev = "0000:86:00.0"
	nodes := []map[string]string{{"rack": "1", "gpu": "a"}, {"rack": "2", "gpu": "a"}}
	for name, tc := range map[string]struct {
		a, b  map[string]any
		nodes []map[string]string
		says  string
	}{
		"one card twice":            {nics("rootDevices", dev), nics("rootDevices", "0000:3b:00.0", strings.ToUpper(dev)), nil, "root device " + dev},
		"two cards":                 {nics("rootDevices", dev), nics("rootDevices", "0000:3b:00.0"), nil, ""},
		"all of a card and some":    {nics("pfNames", "ib0"), nics("pfNames", "ib0#6-7"), nil, "VFs 6 to 7 of ib0"},
		"some, and some others":     {nics("pfNames", "ib0#0-3"), nics("pfNames", "ib0#4-7"), nil, ""},
		"another card":              {nics("pfNames", "ib0"), nics("pfNames", "ib1"), nil, ""},
		"nodes that cannot be both": {on(nics("rootDevices", dev), "rack", "1"), on(nics("rootDevices", dev), "rack", "2"), nil, ""},
		"nodes that could be both":  {on(nics("rootDevices", dev), "rack", "1"), on(nics("rootDevices", dev), "gpu", "a"), nil, "root device " + dev},
		"a node that is both":       {on(nics("rootDevices", dev), "rack", "1"), on(nics("rootDevices", dev), "gpu", "a"), nodes, "root device " + dev},
		"no node that is both":      {on(nics("rootDevices", dev), "rack", "1"), on(nics("rootDevices", dev), "gpu", "b"), nodes, ""},
		"what nobody can read":      {nics("pfNames", "ib0#x", "ib0#1", 5), nics("pfNames", "ib0"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := Check(Cluster{Policies: []Policy{policy("younger", 1, tc.b), policy("older", 2, tc.a)}, Nodes: tc.nodes})
			if tc.says == "" {
				if len(all) > 0 {
					t.Errorf("%+v", all)
				}
				return
			}
			if len(all) != 2 || all[0].About.Name != "younger" || all[1].About.Name != "older" ||
				!strings.Contains(all[0].Detail, "it takes "+tc.says+", which the older SriovNetworkNodePolicy ns/older takes") ||
				!strings.Contains(all[1].Detail, "the younger SriovNetworkNodePolicy ns/younger takes "+tc.says) {
				t.Errorf("%+v", all)
			}
		})
	}
}

func FuzzPools(f *testing.F) {
	f.Add(`{"plugins":[{"ipam":{"type":"spiderpool","default_ipv4_ippool":["a"]}}]}`, `[{"ipv4":["a"]}]`)
	f.Fuzz(func(t *testing.T, config, annotation string) {
		names := append(PoolsOf(config), PoolsOfPod(map[string]string{"ipam.spidernet.io/ippool": annotation, "ipam.spidernet.io/ippools": annotation})...)
		Pools{"a": true}.Missing(names)
	})
}

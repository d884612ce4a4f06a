package multus

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

const networks = attach.NetworksAnnotation

// rail is an InfiniBand config in a group, without addresses.
func rail(name, group, resource string) Candidate {
	return Candidate{Config: Config{
		Name: types.NamespacedName{Namespace: "spiderpool", Name: name}, CNIType: IBSRIOV,
		Annotations: map[string]string{RDMAInject: group}, Main: IBSRIOVNetwork{ResourceName: resource}, IPAM: IPAM{Disabled: true},
	}}
}

func rails(group string, n int) []Candidate {
	var all []Candidate
	for i := range n {
		all = append(all, rail(fmt.Sprintf("gpu%d-sriov", i+1), group, fmt.Sprintf("spidernet.io/gpu%dsriov", i+1)))
	}
	return all
}

func asks(annotations ...string) Pod {
	p := Pod{Namespace: "team-a", Annotations: map[string]string{}}
	for i := 0; i < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	return p
}

func inject(t testing.TB, p Pod, all []Candidate) Injection {
	t.Helper()
	inj, err := Inject(p, Namespaces{}, all)
	if err != nil {
		t.Fatal(err)
	}
	return inj
}

func TestAPodOfAGroupGetsAllItsRailsInTheOrderPeopleCount(t *testing.T) {
	all := append(rails("rdma-network", 10), rail("storage", "other", "spidernet.io/storage"))
	slices.Reverse(all)
	inj := inject(t, asks(RDMAInject, "rdma-network"), all)
	var want []string
	var resources []Resource
	for i := range 10 {
		want = append(want, fmt.Sprintf(`{"name":"gpu%d-sriov","namespace":"spiderpool"}`, i+1))
		resources = append(resources, Resource{fmt.Sprintf("spidernet.io/gpu%dsriov", i+1), 1})
	}
	if diff := cmp.Diff(Injection{Networks: "[" + strings.Join(want, ",") + "]", Resources: resources, InfiniBand: make([]map[string]string, 10)}, inj); diff != "" {
		t.Error(diff)
	}
}

func TestARoCERailStandsWhereItsResourceSorts(t *testing.T) {
	sriov := func(name, resource string) Candidate {
		c := rail(name, "gpu", "")
		c.Config.CNIType, c.Config.Main = SRIOV, SRIOVNetwork{ResourceName: resource}
		return c
	}
	link := rail("z", "gpu", "")
	link.Config.Main = LinkNetwork{Kind: MACVLAN, Masters: []string{"a", "b"}, Bond: &Bond{Name: "bond0"}, ResourceName: "x/shared"}
	inj := inject(t, asks(RDMAInject, "gpu"), []Candidate{sriov("a", "x/gpu10"), sriov("b", "x/gpu2"), link})
	if want := `[{"name":"z","namespace":"spiderpool"},{"name":"b","namespace":"spiderpool"},{"name":"a","namespace":"spiderpool"}]`; inj.Networks != want {
		t.Errorf("%s", inj.Networks)
	}
}

func TestNetworksOfOneResourceAreCounted(t *testing.T) {
	all := []Candidate{rail("a", "gpu", "x/pool"), rail("b", "gpu", "x/pool"), rail("c", "gpu", "x/own")}
	inj := inject(t, asks(RDMAInject, "gpu"), all)
	if diff := cmp.Diff([]Resource{{"x/pool", 2}, {"x/own", 1}}, inj.Resources); diff != "" {
		t.Error(diff)
	}
	// A network that the pod is on twice is two VFs.
	inj = inject(t, asks(RDMAInject, "gpu", networks, "spiderpool/a,spiderpool/a"), all)
	if diff := cmp.Diff([]Resource{{"x/pool", 3}, {"x/own", 1}}, inj.Resources); diff != "" {
		t.Error(diff)
	}
}

func TestANetworkIsNamedAsItsNAD(t *testing.T) {
	c := rail("config", "gpu", "x/y")
	c.Config.Annotations[NADNameAnnotation] = "nad"
	if inj := inject(t, asks(RDMAInject, "gpu"), []Candidate{c}); inj.Networks != `[{"name":"nad","namespace":"spiderpool"}]` {
		t.Errorf("%s", inj.Networks)
	}
}

func TestThePodAsksBeforeItsNamespace(t *testing.T) {
	all := append(rails("gpu", 1), rail("storage", "storage", "x/storage"))
	plain := rail("plain", "", "")
	plain.Config.Annotations = map[string]string{NetworkInject: "gpu"}
	all = append(all, plain)
	one := func(name string) string { return `[{"name":"` + name + `","namespace":"spiderpool"}]` }
	type m = map[string]string
	for name, tc := range map[string]struct {
		pod, namespace, labels m
		want                   string
	}{
		"nobody":                                   {nil, nil, nil, ""},
		"other annotations":                        {m{"a": "b"}, m{"c": "d"}, m{"e": "f"}, ""},
		"the pod":                                  {m{RDMAInject: "gpu"}, nil, nil, one("gpu1-sriov")},
		"the namespace":                            {nil, m{RDMAInject: "gpu"}, nil, one("gpu1-sriov")},
		"the namespace's label":                    {nil, nil, m{RDMAInject: "gpu"}, one("gpu1-sriov")},
		"the pod, against its namespace":           {m{RDMAInject: "storage"}, m{RDMAInject: "gpu"}, nil, one("storage")},
		"the pod by the other key":                 {m{NetworkInject: "gpu"}, m{RDMAInject: "gpu"}, nil, one("plain")},
		"the pod wants none of it":                 {m{RDMAInject: ""}, m{RDMAInject: "gpu"}, nil, ""},
		"a label that is behind its annotation":    {nil, m{RDMAInject: "gpu"}, m{RDMAInject: "storage"}, one("gpu1-sriov")},
		"two groups":                               {m{RDMAInject: "gpu, storage"}, nil, nil, `[{"name":"gpu1-sriov","namespace":"spiderpool"},{"name":"storage","namespace":"spiderpool"}]`},
		"one group of a config that is in two":     {m{RDMAInject: "storage,storage"}, nil, nil, one("storage")},
		"a network without a device needs no RDMA": {m{NetworkInject: "gpu"}, nil, nil, one("plain")},
	} {
		t.Run(name, func(t *testing.T) {
			inj := inject(t, Pod{"team-a", tc.pod, tc.namespace, tc.labels}, all)
			if inj.Networks != tc.want {
				t.Errorf("%s", inj.Networks)
			}
		})
	}
}

func TestAGroupIsByLabelToo(t *testing.T) {
	c := rail("a", "", "x/y")
	c.Config.Annotations, c.Config.Labels = nil, map[string]string{RDMAInject: "gpu"}
	if inj := inject(t, asks(RDMAInject, "gpu"), []Candidate{c}); inj.Networks == "" {
		t.Error("not found")
	}
}

func TestOnlyTheNamespacesThatAreServedAreServed(t *testing.T) {
	for _, tc := range []struct {
		served  Namespaces
		want    bool
		because string
	}{
		{Namespaces{}, true, "all are"},
		{Namespaces{Include: []string{"team-a"}}, true, "included"},
		{Namespaces{Include: []string{"team-b"}}, false, "not included"},
		{Namespaces{Exclude: []string{"kube-system", "team-a"}}, false, "excluded"},
		{Namespaces{Exclude: []string{"kube-system"}}, true, "not excluded"},
		{Namespaces{Include: []string{"team-a"}, Exclude: []string{"team-a"}}, false, "included and excluded"},
	} {
		own, err := Inject(asks(RDMAInject, "gpu"), tc.served, rails("gpu", 1))
		if err != nil || (own.Networks != "") != tc.want || (own.Warning == "") != tc.want || (len(own.Resources) > 0) != tc.want {
			t.Errorf("%s: %+v, %v", tc.because, own, err)
		}
		// A pod that did not ask itself need not be told.
		byNamespace, err := Inject(Pod{Namespace: "team-a", NamespaceAnnotations: map[string]string{RDMAInject: "gpu"}}, tc.served, rails("gpu", 1))
		if err != nil || (byNamespace.Networks != "") != tc.want || byNamespace.Warning != "" {
			t.Errorf("%s, by namespace: %+v, %v", tc.because, byNamespace, err)
		}
	}
}

func TestTheNetworksOfThePodStayInFront(t *testing.T) {
	all := rails("gpu", 2)
	const one, two = `{"name":"gpu1-sriov","namespace":"spiderpool"}`, `{"name":"gpu2-sriov","namespace":"spiderpool"}`
	for name, tc := range map[string]struct{ own, want string }{
		"JSON, byte for byte":     {`[ {"name": "eth", "mac":"\u0061"} ]`, `[ {"name": "eth", "mac":"\u0061"} ,` + one + "," + two + "]"},
		"an empty list":           {` [ ] `, "[ " + one + "," + two + "]"},
		"a comma list":            {`eth, x/y@net7`, `[{"name":"eth","namespace":"team-a"},{"name":"y","namespace":"x","interface":"net7"},` + one + "," + two + "]"},
		"some of the group":       {"[" + two + "]", "[" + two + "," + one + "]"},
		"all of the group":        {"spiderpool/gpu1-sriov,spiderpool/gpu2-sriov", ""},
		"one of a like namespace": {`[{"name":"gpu1-sriov"}]`, `[{"name":"gpu1-sriov"},` + one + "," + two + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			inj := inject(t, asks(RDMAInject, "gpu", networks, tc.own), all)
			if diff := cmp.Diff(tc.want, inj.Networks); diff != "" {
				t.Error(diff)
			}
			if len(inj.Resources) != 2 {
				t.Errorf("%+v", inj.Resources)
			}
		})
	}
}

func TestAWishThatCannotBeMetIsRefusedWithTheMend(t *testing.T) {
	broken := rail("bad", "gpu", "x/y")
	broken.Err = errors.New("spec.ibsriov.pkey: did you mean 0x3e8?")
	custom := rail("own", "gpu", "")
	custom.Config.Main = nil
	deviceless := rail("flat", "gpu", "")
	deviceless.Config.CNIType, deviceless.Config.Main = MACVLAN, LinkNetwork{Kind: MACVLAN, Masters: []string{"a"}}
	twin := rail("twin", "gpu", "x/y")
	twin.Config.Annotations[NADNameAnnotation] = "gpu1-sriov"
	many := rails("gpu", 5)
	for i := range 12 {
		many = append(many, rail(fmt.Sprintf("c%d", i), fmt.Sprintf("group%d", i), "x/y"))
	}
	for name, tc := range map[string]struct {
		pod  Pod
		all  []Candidate
		want string
	}{
		"no config at all":           {asks(RDMAInject, "gpus"), nil, "no SpiderMultusConfig has cni.spidernet.io/rdma-resource-inject: gpus; none has this annotation: put it on those"},
		"no such group":              {asks(RDMAInject, "gpus"), many, "gpus; there are gpu (spiderpool/gpu1-sriov, spiderpool/gpu2-sriov, spiderpool/gpu3-sriov and 2 more), group0 (spiderpool/c0), group1 (spiderpool/c1), group2 (spiderpool/c2)"},
		"of many groups some":        {asks(RDMAInject, "gpus"), many, "group8 (spiderpool/c8), and 3 more"},
		"one of two groups":          {asks(RDMAInject, "gpu,gpus"), rails("gpu", 1), "inject: gpus; there are gpu (spiderpool/gpu1-sriov)"},
		"the group is of other kind": {asks(NetworkInject, "gpu"), rails("gpu", 1), "no SpiderMultusConfig has cni.spidernet.io/network-resource-inject: gpu"},
		"both keys":                  {asks(RDMAInject, "gpu", NetworkInject, "gpu"), rails("gpu", 1), "both cni.spidernet.io/rdma-resource-inject and cni.spidernet.io/network-resource-inject are set; leave the first for networks with RDMA"},
		"a member is broken":         {asks(RDMAInject, "gpu"), append(rails("gpu", 1), broken), "SpiderMultusConfig spiderpool/bad is in gpu, but no network comes of it: spec.ibsriov.pkey: did you mean"},
		"a member is custom":         {asks(RDMAInject, "gpu"), []Candidate{custom}, "name the network on the pod"},
		"a member has no device":     {asks(RDMAInject, "gpu"), []Candidate{deviceless}, "write its rdmaResourceName, or use cni.spidernet.io/network-resource-inject"},
		"two make one network":       {asks(RDMAInject, "gpu"), append(rails("gpu", 1), twin), "spiderpool/gpu1-sriov and spiderpool/twin both make the network spiderpool/gpu1-sriov; change multus.spidernet.io/cr-name of one"},
		"the pod's own are no list":  {asks(RDMAInject, "gpu", networks, "{"), rails("gpu", 1), "add networks to the pod's own: networks annotation: not JSON"},
		"one of its own is bad":      {asks(RDMAInject, "gpu", networks, `[{"name":""}]`), rails("gpu", 1), "element 1: name"},
		"its own take an interface":  {asks(RDMAInject, "gpu", networks, `eth@net2`), rails("gpu", 1), `"net2" is that of element 1; give each element its own`},
	} {
		t.Run(name, func(t *testing.T) {
			inj, err := Inject(tc.pod, Namespaces{}, tc.all)
			if err == nil {
				t.Fatalf("%+v", inj)
			}
			wantFit(t, err)
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestIPoIBNetworksTakeNoResource(t *testing.T) {
	c := rail("ipoib", "gpu", "")
	c.Config.CNIType, c.Config.Main = IPoIB, IPoIBNetwork{Master: "ib0"}
	if inj := inject(t, asks(RDMAInject, "gpu"), []Candidate{c}); inj.Networks == "" || inj.Resources != nil {
		t.Errorf("%+v", inj)
	}
}

func TestAPodThatAsksForGroupsWithoutEndIsRefusedAtOnce(t *testing.T) {
	list := make([]string, 200_000) // what a pod can hold at most, before the API server looks at it
	for i := range list {
		list[i] = strconv.Itoa(i)
	}
	_, err := Inject(Pod{Namespace: "a", Annotations: map[string]string{RDMAInject: strings.Join(list, ",")}}, Namespaces{}, nil)
	if err == nil || !strings.Contains(err.Error(), "names 200000 groups; name at most 64") {
		t.Errorf("%.200v", err)
	}
}

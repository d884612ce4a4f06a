package multus

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// The texts with Spiderpool are those that it writes itself, to the byte; but that the
// wait is on where there is a pkey.
func TestAConfigBecomesTheNADThatSpiderpoolWrites(t *testing.T) {
	const coordinator = `{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}`
	for name, tc := range map[string]struct {
		spec    string
		cluster Settings
		plugins string
	}{
		"InfiniBand, all defaults": {
			"{cniType: ib-sriov, ibsriov: {resourceName: spidernet.io/gpu1sriov, ippools: {ipv4: [gpu1-net11]}}}", with,
			`{"type":"ib-sriov","pkey":"","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":false,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},` + coordinator},
		"InfiniBand in a partition": {
			`{cniType: ib-sriov, ibsriov: {resourceName: a/b, pkey: "0x1000", ippools: {ipv4: [gpu1-net11]}}}`, with,
			`{"type":"ib-sriov","pkey":"0x1000","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},` + coordinator},
		"InfiniBand without addresses is one field, where Spiderpool is": {
			`{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: a/b, pkey: "0x1000"}}`, with,
			`{"type":"ib-sriov","pkey":"0x1000","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}`},
		"and where it is not": {
			`{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: a/b, pkey: "0x1000"}}`, without,
			`{"type":"ib-sriov","pkey":"0x1000","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}`},
		"InfiniBand, everything said": {
			`{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: a/b, pkey: 4096, linkState: auto, rdmaIsolation: false, enableIbKubernetes: false}}`, without,
			`{"type":"ib-sriov","pkey":"0x1000","link_state":"auto","rdmaIsolation":false,"ibKubernetesEnabled":false}`},
		"a GUID alone can be waited for": {
			`{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: a/b, ibKubernetesEnabled: true}}`, without,
			`{"type":"ib-sriov","pkey":"","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}`},
		"RoCE": {
			"{cniType: sriov, sriov: {resourceName: a/b, ippools: {ipv4: [gpu1-net11]}}}", with,
			`{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},` + coordinator},
		"RoCE, isolated, with an MTU": {
			"{cniType: sriov, sriov: {resourceName: a/b, rdmaIsolation: true, mtu: 4200, ippools: {ipv4: [gpu1-net11]}}}", with,
			`{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"type":"rdma"},` + coordinator + `,{"type":"tuning","mtu":4200}`},
		"RoCE in the older words": {
			"{cniType: sriov, sriov: {resourceName: a/b, enableRdma: true, ippools: {ipv4: [gpu1-net11]}}}", with,
			`{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"type":"rdma"},` + coordinator},
		"RoCE with a rate, a VLAN and the PF's pool": {
			"{cniType: sriov, sriov: {resourceName: a/b, vlanID: 5, minTxRateMbps: 100, ippools: {ipv4: [rail1*], ipv6: [six], matchMasterSubnet: true}}}", with,
			`{"vlan":5,"min_tx_rate":100,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["rail1*"],"default_ipv6_ippool":["six"],"match_master_subnet":true}},` + coordinator},
		"RoCE with another IPAM and a chained plugin": {
			`{cniType: sriov, ipam: {type: nv-ipam, poolName: gpu1}, chainCNIJsonData: ['{"type": "sbr"}'], sriov: {resourceName: a/b, rdmaIsolation: true, mtu: 9000}}`, without,
			`{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"poolName":"gpu1","type":"nv-ipam"}},{"type":"rdma"},{"type":"sbr"},{"type":"tuning","mtu":9000}`},
		"the coordinator stands behind what is chained, tuning last": {
			`{cniType: sriov, chainCNIJsonData: ['{"type":"sbr"}', '{"type":"bandwidth"}'], sriov: {resourceName: a/b, rdmaIsolation: true, mtu: 9000}}`, with,
			`{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool"}},{"type":"rdma"},{"type":"sbr"},{"type":"bandwidth"},` + coordinator + `,{"type":"tuning","mtu":9000}`},
		"whereabouts": {
			`{cniType: ipoib, ipam: {type: whereabouts, range: 172.16.11.0/24, exclude: [172.16.11.254/32]}, ipoib: {master: ib0}}`, without,
			`{"type":"ipoib","master":"ib0","ipam":{"exclude":["172.16.11.254/32"],"range":"172.16.11.0/24","type":"whereabouts"}}`},
		"host-local": {
			`{cniType: ipoib, ipam: {type: host-local, ranges: [[{subnet: 172.16.11.0/24}]], routes: []}, ipoib: {master: ib0}}`, without,
			`{"type":"ipoib","master":"ib0","ipam":{"ranges":[[{"subnet":"172.16.11.0/24"}]],"routes":[],"type":"host-local"}}`},
		"static": {
			`{cniType: ipoib, ipam: {type: static, addresses: [{address: 10.0.0.1/24}]}, ipoib: {master: ib0}}`, without,
			`{"type":"ipoib","master":"ib0","ipam":{"addresses":[{"address":"10.0.0.1/24"}],"type":"static"}}`},
		"IPoIB": {
			"{cniType: ipoib, ipoib: {master: ib0, ippools: {ipv4: [gpu1-net11]}}}", with,
			`{"type":"ipoib","master":"ib0","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},` + coordinator},
		"macvlan": {
			"{cniType: macvlan, disableIPAM: true, macvlan: {master: [ens6], rdmaResourceName: spidernet.io/hca}}", without,
			`{"type":"macvlan","master":"ens6","mode":"bridge"}`},
		"macvlan on a VLAN of a bond": {
			"{cniType: macvlan, disableIPAM: true, macvlan: {master: [ens6, ens7], vlanID: 100, bond: {name: bond0, mode: 1}}}", with,
			`{"vlanID":100,"type":"ifacer","interfaces":["ens6","ens7"],"bond":{"name":"bond0","mode":1}},{"type":"macvlan","master":"bond0.100","mode":"bridge"}`},
		"ipvlan": {
			"{cniType: ipvlan, disableIPAM: true, ipvlan: {master: [ens6], mtu: 1400}}", without,
			`{"type":"ipvlan","master":"ens6","mtu":1400}`},
		"a coordinator that is told what to do": {
			"{cniType: ipoib, ipoib: {master: ib0}, coordinator: {mode: disabled, tunePodRoutes: false, txQueueLen: 7, podRPFilter: 0, podDefaultRouteNIC: net1, hijackCIDR: [10.0.0.0/8], podCIDRType: none, policyRoutes: [{dst: 10.0.0.0/8, gw: 10.0.0.1}]}}", with,
			`{"type":"ipoib","master":"ib0","ipam":{"type":"spiderpool"}},{"txQueueLen":7,"tunePodRoutes":false,"mode":"disable","type":"coordinator","podDefaultRouteNic":"net1","hijackCIDR":["10.0.0.0/8"],"policyRoutes":[{"dst":"10.0.0.0/8","gw":"10.0.0.1"}],"podRPFilter":0}`},
		"a coordinator that is switched off": {
			"{cniType: ipoib, ipoib: {master: ib0}, enableCoordinator: false, coordinator: {mode: auto}}", with,
			`{"type":"ipoib","master":"ib0","ipam":{"type":"spiderpool"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			nad, err := decode(t, tc.spec).NAD(tc.cluster)
			if err != nil {
				t.Fatal(err)
			}
			want := `{"cniVersion":"0.3.1","name":"rail1","plugins":[` + tc.plugins + `]}`
			if diff := cmp.Diff(want, nad.Spec.Config); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestANADBelongsToItsConfigAndCarriesItsAnnotations(t *testing.T) {
	u := object(t, `{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: spidernet.io/gpu1sriov}}`)
	u.SetLabels(map[string]string{"fabric": "compute", RDMAInject: "gpu"}) // the second is Spiderpool's own
	u.SetAnnotations(map[string]string{
		NADNameAnnotation: "first-rail", CNIVersionAnnotation: "1.0.0", NetworkNameAnnotation: "Rail_1",
		attach.PartitionAnnotation: "tenant-a", RDMAInject: "gpu", lastApplied: "{}", ResourceAnnotation: "an/other",
	})
	c, err := Decode(u)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.NAD(without)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := &nadv1.NetworkAttachmentDefinition{
		TypeMeta: metav1.TypeMeta{APIVersion: "k8s.cni.cncf.io/v1", Kind: "NetworkAttachmentDefinition"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "gpu", Name: "first-rail", Labels: map[string]string{"fabric": "compute"},
			Annotations: map[string]string{
				NADNameAnnotation: "first-rail", CNIVersionAnnotation: "1.0.0", NetworkNameAnnotation: "Rail_1",
				attach.PartitionAnnotation: "tenant-a", RDMAInject: "gpu", ResourceAnnotation: "spidernet.io/gpu1sriov",
				labelsAnnotation: "fabric",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "spiderpool.spidernet.io/v2beta1", Kind: "SpiderMultusConfig", Name: "rail1", UID: "u-1",
				Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{
			// It names a Partition, which is waited for as a pkey is.
			Config: `{"cniVersion":"1.0.0","name":"Rail_1","plugins":[{"type":"ib-sriov","pkey":"","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}]}`,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyVFsAreTakenFromTheNodeByMultus(t *testing.T) {
	for spec, want := range map[string]string{
		"{cniType: sriov, disableIPAM: true, sriov: {resourceName: a/b}}":                             "a/b",
		"{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: a/b}}":                        "a/b",
		"{cniType: ipoib, disableIPAM: true, ipoib: {master: ib0}}":                                   "",
		"{cniType: macvlan, disableIPAM: true, macvlan: {master: [ens6], rdmaResourceName: a/share}}": "",
	} {
		nad, err := decode(t, spec).NAD(without)
		if err != nil {
			t.Fatal(err)
		}
		if got := nad.Annotations[ResourceAnnotation]; got != want {
			t.Errorf("%s: %q", spec, got)
		}
	}
}

func TestACustomConfigIsTakenAsItIs(t *testing.T) {
	const text = `{ "type":"ib-sriov", "pkey":"0x5" }`
	nad, err := decode(t, "cniType: custom\nenableCoordinator: true\ncustomCNI: '"+text+"'").NAD(without)
	if err != nil {
		t.Fatal(err)
	}
	if nad.Spec.Config != text {
		t.Errorf("%s", nad.Spec.Config)
	}
	net, err := attach.ParseNetwork(nameOf(nad), nad.Spec.Config, nad.Annotations)
	if err != nil || !net.InfiniBand || net.Claims[0].PKey != pkey.PKey(5) {
		t.Errorf("%+v, %v", net, err)
	}
	if nad, err = decode(t, "{}").NAD(without); err != nil || nad.Spec.Config != "" {
		t.Errorf("a file on the node: %+v, %v", nad, err)
	}
}

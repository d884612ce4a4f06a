package multus

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An IPAM plugin gets its block as it was written, whatever the kind of network.
func TestEveryIPAMPassesThrough(t *testing.T) {
	for name, tc := range map[string]struct {
		spec    string // beside the type's block
		pools   string // in it
		cluster Settings
		want    string // of the main plugin's end
	}{
		"spiderpool":            {"", "ippools: {ipv4: [gpu1-net11], ipv6: [gpu1-six]}", with, `,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"],"default_ipv6_ippool":["gpu1-six"]}}`},
		"spiderpool by default": {"", "", with, `,"ipam":{"type":"spiderpool"}}`},
		"nv-ipam":               {"ipam: {type: nv-ipam, poolName: gpu1, poolType: cidrpool}", "", without, `,"ipam":{"poolName":"gpu1","poolType":"cidrpool","type":"nv-ipam"}}`},
		"whereabouts": {"ipam: {type: whereabouts, range: 172.16.11.0/24, range_start: 172.16.11.1, gateway: 172.16.11.254, exclude: [172.16.11.9/32]}", "", without,
			`,"ipam":{"exclude":["172.16.11.9/32"],"gateway":"172.16.11.254","range":"172.16.11.0/24","range_start":"172.16.11.1","type":"whereabouts"}}`},
		"host-local": {"ipam: {type: host-local, ranges: [[{subnet: 172.16.11.0/24, rangeStart: 172.16.11.1}]], routes: [{dst: 10.0.0.0/8}]}", "", without,
			`,"ipam":{"ranges":[[{"rangeStart":"172.16.11.1","subnet":"172.16.11.0/24"}]],"routes":[{"dst":"10.0.0.0/8"}],"type":"host-local"}}`},
		"static": {`ipam: {type: static, addresses: [{address: 10.0.0.1/24, gateway: 10.0.0.254}]}`, "", without,
			`,"ipam":{"addresses":[{"address":"10.0.0.1/24","gateway":"10.0.0.254"}],"type":"static"}}`},
		"one that nobody knows here": {`ipam: {type: site-ipam, "A-b": [1, 2.5, true, null, {c: "<&>"}]}`, "", without,
			`,"ipam":{"A-b":[1,2.5,true,null,{"c":"\u003c\u0026\u003e"}],"type":"site-ipam"}}`},
		"none":                        {"disableIPAM: true", "", without, `}`},
		"none, where Spiderpool runs": {"disableIPAM: true", "", with, `}`},
	} {
		for kind, start := range map[string]string{
			"{cniType: ib-sriov, ibsriov: {resourceName: a/b, ":   `{"type":"ib-sriov","pkey":"","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":false`,
			"{cniType: sriov, sriov: {resourceName: a/b, ":        `{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov"`,
			"{cniType: ipoib, ipoib: {master: ib0, ":              `{"type":"ipoib","master":"ib0"`,
			"{cniType: macvlan, macvlan: {master: [ens6], ":       `{"type":"macvlan","master":"ens6","mode":"bridge"`,
			"{cniType: ipvlan, ipvlan: {master: [ens6], mtu: 5, ": `{"type":"ipvlan","master":"ens6","mtu":5`,
		} {
			t.Run(name+" "+strings.Fields(kind)[1], func(t *testing.T) {
				nad, err := decode(t, kind+tc.pools+"}, enableCoordinator: false, "+tc.spec+"}").NAD(tc.cluster)
				if err != nil {
					t.Fatal(err)
				}
				want := `{"cniVersion":"0.3.1","name":"rail1","plugins":[` + start + tc.want + `]}`
				if diff := cmp.Diff(want, nad.Spec.Config); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

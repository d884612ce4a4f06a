package multus

import (
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/types"
)

func nameOf(nad *nadv1.NetworkAttachmentDefinition) types.NamespacedName {
	return types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}
}

// ib and roce are a spec with these fields in the block and those beside it.
func ib(block, beside string) string {
	return "{cniType: ib-sriov, ibsriov: {resourceName: a/b, " + block + "}, disableIPAM: true, " + beside + "}"
}

func roce(block, beside string) string {
	return "{cniType: sriov, sriov: {resourceName: a/b, " + block + "}, " + beside + "}"
}

func TestAMistakeIsRefusedByItsFieldWithTheMend(t *testing.T) {
	for name, tc := range map[string]struct{ spec, field, mend string }{
		"pkey in decimal":           {ib(`pkey: "1000"`, ""), `spec.ibsriov.pkey: Invalid value: "1000"`, "did you mean 0x3e8 (that is decimal 1000) or 0x1000?"},
		"pkey 0":                    {ib("pkey: 0", ""), "spec.ibsriov.pkey", "0 is no partition; use 0x1 to 0x7ffe"},
		"the management partition":  {ib("pkey: 0x7fff", ""), "spec.ibsriov.pkey", "management partition"},
		"pkey with the top bit":     {ib(`pkey: "0x9000"`, ""), "spec.ibsriov.pkey", "write 0x1000 and say the membership apart"},
		"pkey that is true":         {ib("pkey: true", ""), "spec.ibsriov.pkey", `write it as a string of hex, as in "0x1000"`},
		"pkey with a fraction":      {ib("pkey: 7.5", ""), "spec.ibsriov.pkey", `write it as a string of hex`},
		"pkey in a list":            {ib("pkey: [0x5]", ""), "spec.ibsriov.pkey", `write it as a string of hex`},
		"pkey in other case":        {ib(`PKey: "0x5"`, ""), "spec.ibsriov.PKey", "write the field's name as pkey"},
		"the two words disagree":    {ib("enableIbKubernetes: true, ibKubernetesEnabled: false", ""), "spec.ibsriov.ibKubernetesEnabled", "older name of spec.ibsriov.enableIbKubernetes, which says otherwise; leave one"},
		"a switch in quotes":        {ib(`rdmaIsolation: "true"`, ""), "spec.ibsriov.rdmaIsolation", "write true or false, without quotes"},
		"link state":                {ib("linkState: up", ""), "spec.ibsriov.linkState", "write auto, enable or disable"},
		"no resource":               {"{cniType: ib-sriov, ibsriov: {}}", "spec.ibsriov.resourceName: Required", "as in spidernet.io/gpu1sriov"},
		"a resource without prefix": {"{cniType: ib-sriov, ibsriov: {resourceName: gpu1}}", "spec.ibsriov.resourceName", "write prefix/name"},
		"a resource in no form":     {"{cniType: ib-sriov, ibsriov: {resourceName: 'a/b/c'}}", "spec.ibsriov.resourceName", "write prefix/name"},
		"a number for a text":       {"{cniType: ib-sriov, ibsriov: {resourceName: 5}}", "spec.ibsriov.resourceName", "write a text, in quotes"},
		"no block":                  {"{cniType: ib-sriov}", "spec.ibsriov: Required", "cniType ib-sriov is described in it"},
		"the block is a list":       {"{cniType: ib-sriov, ibsriov: [1]}", "spec.ibsriov", "write fields and values under it"},
		"the wrong block":           {"{cniType: sriov, ibsriov: {resourceName: a/b}, sriov: {resourceName: a/b}}", "spec.ibsriov: Forbidden", "remove this block, or change cniType"},
		"custom beside a type":      {ib("", "customCNI: '{}'"), "spec.customCNI: Forbidden", "write cniType: custom"},
		"pools beside the block":    {roce("", "ippools: {ipv4: [a]}"), "spec.ippools: Forbidden", "as in spec.sriov.ippools; move it there"},
		"pkey beside the block":     {ib("", `pkey: "0x5"`), "spec.pkey: Forbidden", "move it there"},
		"an unknown type":           {"{cniType: ovs, ovs: {bridge: br}}", "spec.cniType", "write custom and the CNI configuration into customCNI"},
		"a VLAN too high":           {roce("vlanID: 4095", ""), "spec.sriov.vlanID", "from 0 to 4094"},
		"a negative MTU":            {roce("mtu: -1", ""), "spec.sriov.mtu", "write a whole number from 0"},
		"an MTU in quotes":          {roce(`mtu: "9000"`, ""), "spec.sriov.mtu", "write a whole number"},
		"a floor above the roof":    {roce("minTxRateMbps: 2, maxTxRateMbps: 1", ""), "spec.sriov.minTxRateMbps", "leave maxTxRateMbps out for no bound"},
		"pools that are a text":     {roce("ippools: {ipv4: gpu1}", ""), "spec.sriov.ippools.ipv4", `as in ["gpu1"]`},
		"a pool without a name":     {roce(`ippools: {ipv4: [""]}`, ""), "spec.sriov.ippools.ipv4[0]", "write a text"},
		"a PF's pool on InfiniBand": {ib("ippools: {matchMasterSubnet: true}", ""), "spec.ibsriov.ippools.matchMasterSubnet", "it is for sriov alone"},
		"IPoIB on nothing":          {"{cniType: ipoib, ipoib: {}}", "spec.ipoib.master: Required", "as in ib0"},
		"macvlan on nothing":        {"{cniType: macvlan, macvlan: {}}", "spec.macvlan.master: Required", `["ens6f0np0"]`},
		"two masters unbonded":      {"{cniType: macvlan, macvlan: {master: [a, b]}}", "spec.macvlan.bond: Required", "bond's name and mode, or leave one master"},
		"a bond without a name":     {"{cniType: macvlan, macvlan: {master: [a, b], bond: {mode: 1}}}", "spec.macvlan.bond.name: Required", "as in bond0"},
		"RDMA without a device":     {"{cniType: macvlan, macvlan: {master: [a], enableRdma: true}}", "spec.macvlan.rdmaResourceName: Required", "or remove enableRdma"},
		"IPAM that is a word":       {roce("", "ipam: nv-ipam"), "spec.ipam", "as in {type: nv-ipam, poolName: gpu1}"},
		"IPAM of type none":         {roce("", "ipam: {type: none}"), "spec.ipam", "write disableIPAM: true instead"},
		"IPAM and none":             {ib("", "ipam: {type: static}"), "spec.ipam: Forbidden", "disableIPAM is true; leave one"},
		"two IPAMs":                 {roce("ippools: {ipv4: [a]}", "ipam: {type: static}"), "spec.ipam: Forbidden", "ippools are Spiderpool's; leave one"},
		"dhcp on InfiniBand":        {"{cniType: ipoib, ipoib: {master: ib0}, ipam: {type: dhcp}}", "spec.ipam.type", "does not work on InfiniBand"},
		"a chain that is no JSON":   {roce("", "chainCNIJsonData: ['{\"type\":']"), "spec.chainCNIJsonData[0]", `as in '{"type":"sbr"}'`},
		"a chain without a type":    {roce("", "chainCNIJsonData: ['{}']"), "spec.chainCNIJsonData[0]", "with a type"},
		"a coordinator's mode":      {roce("", "coordinator: {mode: both}"), "spec.coordinator.mode", "write auto, underlay, overlay or disabled"},
		"a route without a gateway": {roce("", "coordinator: {policyRoutes: [{dst: 10.0.0.0/8}]}"), "spec.coordinator.policyRoutes[0]", "write dst and gw"},
		"custom that is no JSON":    {"{cniType: custom, customCNI: '{'}", "spec.customCNI", "write a JSON object"},
		"custom with a chain":       {`{cniType: custom, chainCNIJsonData: ['{"type":"sbr"}']}`, "spec.chainCNIJsonData: Forbidden", "write this into customCNI"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Decode(object(t, tc.spec))
			if err == nil {
				t.Fatalf("taken as %+v", c)
			}
			wantFit(t, err)
			if text := err.Error(); !strings.HasPrefix(text, "SpiderMultusConfig gpu/rail1: ") || !strings.Contains(text, tc.field) || !strings.Contains(text, tc.mend) {
				t.Errorf("%v\nwant %s … %s", err, tc.field, tc.mend)
			}
		})
	}
}

func TestAnAnnotationThatCannotBeIsRefused(t *testing.T) {
	for key, value := range map[string]string{
		NADNameAnnotation: "Rail_1", CNIVersionAnnotation: "1.1.0", NetworkNameAnnotation: "-rail",
		RDMAInject: "gpu", // on a custom config
	} {
		u := object(t, "{cniType: custom, customCNI: '{\"type\":\"tuning\"}'}")
		u.SetAnnotations(map[string]string{key: value})
		if _, err := Decode(u); err == nil || !strings.Contains(err.Error(), "metadata.annotations["+key+"]") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestWhatTheClusterLacksIsRefusedWithAnotherWay(t *testing.T) {
	sbr := `chainCNIJsonData: ['{"type":"sbr"}']`
	for name, tc := range map[string]struct {
		spec    string
		cluster Settings
		want    string
	}{
		"a coordinator that is asked for":    {ib("", "enableCoordinator: true"), without, "spec.enableCoordinator: Forbidden: Spiderpool's coordinator does not run in this cluster; write enableCoordinator: false"},
		"one that is described":              {ib("", "coordinator: {mode: auto}"), without, sbr},
		"one in the chain":                   {ib("", `chainCNIJsonData: ['{"type":"sbr"}', '{"type":"coordinator"}']`), without, "spec.chainCNIJsonData[1]: Forbidden: it runs the coordinator"},
		"one in a custom config":             {`{customCNI: '{"plugins":[{"type":"x"},{"type":"coordinator"}]}'}`, without, "spec.customCNI: Forbidden"},
		"a coordinator without addresses":    {ib("", "enableCoordinator: true"), with, "the coordinator refuses an interface without an IP address; leave one of them"},
		"pools":                              {roce("ippools: {ipv4: [gpu1]}", ""), without, "spec.sriov.ippools: Forbidden: Spiderpool's IPAM does not run in this cluster; write disableIPAM: true"},
		"pools, by default":                  {roce("", ""), without, "spec.ipam: Forbidden: Spiderpool's IPAM does not run"},
		"its IPAM by name":                   {roce("", "ipam: {type: spiderpool}"), without, "spec.ipam: Forbidden"},
		"its IPAM in a custom config":        {`{customCNI: '{"type":"x","ipam":{"type":"spiderpool"}}'}`, without, "spec.customCNI: Forbidden"},
		"a VLAN on the node":                 {"{cniType: macvlan, disableIPAM: true, macvlan: {master: [a], vlanID: 5}}", without, "spec.macvlan.master: Forbidden: Spiderpool's plugin ifacer"},
		"two main plugins for one interface": {ib("", `chainCNIJsonData: ['{"type":"ib-sriov"}']`), without, "plugins 1 and 2 of its chain are both ib-sriov; leave one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			nad, err := decode(t, tc.spec).NAD(tc.cluster)
			if err == nil {
				t.Fatalf("made %s", nad.Spec.Config)
			}
			wantFit(t, err)
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

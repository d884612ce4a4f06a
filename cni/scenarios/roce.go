package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
)

// node is a node that the stories of a kind can be played on.
func (k kind) node(t *testing.T, lab Lab) *node {
	if k.roce() {
		return roceNode(t, lab)
	}
	return newNode(t, lab)
}

func (k kind) roce() bool { return strings.HasPrefix(k.name, "sriov") }

func roceNode(t *testing.T, lab Lab) *node {
	if len(lab.RoCE()) == 0 {
		t.Skip("this lab has no Ethernet card")
	}
	return newNode(t, lab)
}

// roce asks for Ethernet VF number i, isolated, addressed, in a VLAN, with an address and
// an MTU of its own.
func (n *node) roce(id string, i int, last byte) *pod {
	vf := n.lab.RoCE()[i]
	return &pod{
		id: id, ifname: "net1", ns: n.lab.NewNetNS(id), vf: vf, chain: []string{"sriov"},
		config: map[string]any{
			"cniVersion": "1.0.0", "name": "roce1", "type": "sriov", "deviceID": string(vf),
			"rdmaIsolation": true, "vlan": 100, "vlanQoS": 3, "mac": host.MAC{0x02, 0xcc, 0, 0, byte(i), last}.String(),
			"mtu": 1400, "max_tx_rate": 500, "spoofchk": "off", "trust": "on", "ipam": map[string]any{"type": "fake"},
		},
	}
}

// chained leaves the RDMA device to the plugin rdma.
func (p *pod) chained() *pod {
	p.chain = []string{"sriov", "rdma"}
	return p.with("rdmaIsolation", nil)
}

// roceInPod fails unless the pod has its RDMA device, and its VF is as it asked.
func (n *node) roceInPod(p *pod) {
	n.t.Helper()
	ctx, k := context.Background(), n.lab.Kernel()
	if _, err := k.RDMADevice(ctx, p.ns, p.vf); err != nil {
		n.t.Errorf("RDMA device in the pod: %v", err)
	}
	if _, err := k.RDMADevice(ctx, host.Home, p.vf); !errors.Is(err, host.ErrNotFound) {
		n.t.Errorf("the host still sees the RDMA device (%v)", err)
	}
	if e, mac := n.ethernet(p.vf), p.config["mac"]; e.VLAN != 100 || e.QoS != 3 || e.MaxRate != 500 || e.SpoofCheck || !e.Trust || e.MAC.String() != mac {
		n.t.Errorf("the PF holds %+v", e)
	}
	netdev, err := k.Netdev(ctx, p.ns, p.vf)
	if err != nil || netdev.MTU != 1400 || netdev.Addr.String() != p.config["mac"] {
		n.t.Errorf("netdev in the pod: %+v, %v", netdev, err)
	}
}

func (n *node) ethernet(vf host.PCI) host.Ethernet {
	n.t.Helper()
	ctx, k := context.Background(), n.lab.Kernel()
	d, err := k.Device(ctx, vf)
	if err != nil {
		n.t.Fatal(err)
	}
	config, err := k.VFConfig(ctx, d.VF)
	if err != nil {
		n.t.Fatal(err)
	}
	return config.Ethernet
}

// RoCESettings is the whole of an ordinary life on Ethernet, twice on the same VF.
func RoCESettings(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	p := n.roce("c1", 0, 1)
	result := n.mustAdd(p)
	n.inPod(p)
	i := result.Interfaces[0]
	if i.Name != "net1" || i.Mac != p.config["mac"] || i.Mtu != 1400 || i.PciID != string(p.vf) {
		t.Errorf("the answer's interface is %+v", i)
	}
	verbs := n.rehearse(func() { n.mustDel(p) })
	if rdma, netdev := slices.Index(verbs, "MoveRDMA"), slices.Index(verbs, "MoveNetdev"); rdma < 0 || netdev < rdma {
		t.Errorf("the RDMA device must go home before its netdev: %v", verbs)
	}
	n.untouched("after DEL")

	// Where the network says nothing the VF stays as the host has set it up.
	plain := n.roce("c2", 0, 2)
	for _, key := range []string{"vlan", "vlanQoS", "mac", "mtu", "max_tx_rate", "spoofchk", "trust"} {
		plain.with(key, nil)
	}
	n.mustAdd(plain)
	if e := n.ethernet(plain.vf); e != n.before[plain.vf].Config.Ethernet {
		t.Errorf("the PF holds %+v", e)
	}
	n.mustDel(plain)
	n.untouched("after the second DEL")

	// Without trust a VF takes no address but the PF's, not even its own former one.
	strict := n.roce("c3", 0, 3).with("trust", "off").with("vlan", nil).with("vlanQoS", nil)
	n.mustAdd(strict)
	n.mustDel(strict)
	n.untouched("after the third DEL")
}

// RoCEShared is a network without isolation: the host keeps the RDMA device.
func RoCEShared(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	p := n.roce("c1", 0, 1).with("rdmaIsolation", nil)
	n.mustAdd(p)
	if _, err := lab.Kernel().RDMADevice(context.Background(), host.Home, p.vf); err != nil {
		t.Errorf("the RDMA device left: %v", err)
	}
	lab.EndNetNS(p.ns)
	n.mustDel(p)
	n.untouched("after DEL")
}

// RoCEParallel is a node that starts all its RoCE pods at once.
func RoCEParallel(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	var wg sync.WaitGroup
	for i := range lab.RoCE() {
		p := n.roce(fmt.Sprint("c", i), i, 1)
		if i%2 == 1 {
			p.chained()
		}
		wg.Go(func() {
			if _, err := n.add(p); err != nil {
				t.Errorf("ADD of %s: %v", p.id, err)
				return
			}
			n.inPod(p)
			if err := errors.Join(n.check(p), n.del(p)); err != nil {
				t.Errorf("CHECK or DEL of %s: %v", p.id, err)
			}
		})
	}
	wg.Wait()
	n.untouched("after DEL")
}

// BadRoCEInput goes through what people write.
func BadRoCEInput(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	pf, err := lab.Kernel().Device(context.Background(), lab.RoCE()[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key   string
		value any
		says  string
	}{
		"no device":            {"deviceID", nil, "deviceID"},
		"unknown device":       {"deviceID", "0000:99:00.0", "deviceID"},
		"a PF":                 {"deviceID", string(pf.VF.PF), "deviceID"},
		"an InfiniBand VF":     {"deviceID", string(lab.VFs()[0]), "ib-sriov"},
		"vlan 4095":            {"vlan", 4095, "vlan"},
		"vlan, a word":         {"vlan", "100", "vlan"},
		"QoS without vlan":     {"vlan", nil, "vlan"},
		"QoS of vlan 0":        {"vlan", 0, "vlan"},
		"QoS 8":                {"vlanQoS", 8, "vlanQoS"},
		"protocol":             {"vlanProto", "802.1x", "vlanProto"},
		"MAC of a group":       {"mac", "01:00:5e:00:00:01", "mac"},
		"MAC of zeros":         {"mac", "00:00:00:00:00:00", "mac"},
		"MAC of 8 bytes":       {"mac", "02:00:00:00:00:00:00:01", "mac"},
		"capability MAC":       {"runtimeConfig", map[string]any{"mac": "x"}, "runtimeConfig.mac"},
		"min above max":        {"min_tx_rate", 501, "min_tx_rate"},
		"negative rate":        {"max_tx_rate", -1, "max_tx_rate"},
		"spoofchk, a boolean":  {"spoofchk", true, "spoofchk"},
		"trust, a wrong word":  {"trust", "yes", "trust"},
		"link state":           {"link_state", "up", "link_state"},
		"mtu":                  {"mtu", 9, "mtu"},
		"isolation, in quotes": {"rdmaIsolation", "true", "rdmaIsolation"},
	} {
		p := n.roce("c1", 0, 1).with(c.key, c.value)
		var err error
		verbs := n.rehearse(func() { _, err = n.add(p) })
		var got *types.Error
		if !errors.As(plugin.ToCNI(err), &got) || got.Code != types.ErrInvalidNetworkConfig || !strings.Contains(got.Msg, c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		for _, verb := range verbs {
			if changes(verb) {
				t.Errorf("%s: %s was called", name, verb)
			}
		}
	}
	n.untouched("after bad input")
}

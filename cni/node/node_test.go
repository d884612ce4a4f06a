package node_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/nodefake"
	"github.com/ibfabric/ibfabric/guid"
)

func TestACardIsReadWithItsPortsAndVFs(t *testing.T) {
	n := nodefake.InfiniBand(t)
	f := n.Look()
	if f.Cards.Err != nil || len(f.Cards.Value) != 2 {
		t.Fatalf("%+v", f.Cards)
	}
	config := func(g guid.GUID) node.Fact[host.VFConfig] {
		return node.Fact[host.VFConfig]{Value: host.VFConfig{NodeGUID: g, PortGUID: g}}
	}
	want := node.Card{
		PCI: "0000:86:00.0", Mellanox: true, Driver: "mlx5_core", Netdev: "ib1", GUID: 0xb8599f0300a1b2c1, MaxVFs: 16,
		Ports: []node.Port{{RDMA: "mlx5_1", Number: 1, Layer: node.InfiniBand, State: host.PortActive, Physical: "LinkUp", LID: 0x11, SMLID: 1, PKeys: 1, Room: 128}},
		VFs: []node.VF{
			{PCI: "0000:86:00.1", Index: 0, Driver: "mlx5_core", Config: config(0x0200_0000_0000_0101)},
			{PCI: "0000:86:00.2", Index: 1, Driver: "mlx5_core", Config: config(0x0200_0000_0000_0102)},
		},
	}
	if diff := cmp.Diff(want, f.Cards.Value[1]); diff != "" {
		t.Error(diff)
	}
	if f.Hostname != "node-1" || f.RDMAMode.Value != host.Exclusive || f.BootMode.Value != host.Exclusive || f.OFED != "" {
		t.Errorf("%+v", f)
	}
}

func TestVFsComeInTheOrderOfTheirNumbers(t *testing.T) {
	n := nodefake.InfiniBand(t)
	const pf = "0000:17:00.0"
	for i := 2; i < 12; i++ {
		vf := fmt.Sprintf("0000:17:01.%d", i%8)
		n.Link(nodefake.Device(pf, fmt.Sprintf("virtfn%d", i)), "../"+vf)
		n.SetGUID(pf, i, guid.GUID(i))
	}
	for i, v := range n.Look().Cards.Value[0].VFs {
		if v.Index != i {
			t.Errorf("VF %d stands at %d", v.Index, i)
		}
	}
}

func TestWhatIsNoCardIsLeftOut(t *testing.T) {
	n := nodefake.Bare(t)
	n.GPU(false)
	n.Write("sys/bus/pci/devices/not-an-address/vendor", "0x15b3")
	n.Link(nodefake.Device("0000:99:00.0", "gone"), "x") // no vendor, class or device: it is going away
	if f := n.Look(); f.Cards.Err != nil || len(f.Cards.Value) != 0 || f.GPUs.Value != 1 {
		t.Errorf("%+v", f)
	}
	// A card of another vendor is one by its RDMA device, and a ConnectX without driver by
	// vendor and kind.
	n.Write(nodefake.Device("0000:00:00.0", "infiniband/irdma0/node_guid"), "1")
	n.Write(nodefake.Device("0000:99:00.0", "vendor"), "0x15b3")
	n.Write(nodefake.Device("0000:99:00.0", "class"), "0x020000")
	if f := n.Look(); len(f.Cards.Value) != 2 || f.Cards.Value[0].Mellanox || !f.Cards.Value[1].Mellanox {
		t.Errorf("%+v", f.Cards)
	}
}

func TestBridgesWithStrangeRegistersRedirectNothing(t *testing.T) {
	for name, header := range map[string]uint32{
		"a list that goes round": 0x100<<20 | 1, "a list that leaves the space": 0xffc<<20 | 1,
		"a list that goes into the header": 0x040<<20 | 1, "no list": 0, "a list that ends at the very end": 0xff8<<20 | 1,
	} {
		n := nodefake.Bare(t)
		n.GPU(true)
		config := make([]byte, 4095) // Write adds a newline
		binary.LittleEndian.PutUint32(config[0x100:], header)
		config[0xffc] = 0x0d                    // ACS, but cut off
		config[0x40], config[0x46] = 0x0d, 0x1d // what would be ACS, were it in a list
		n.Write(nodefake.Device("0000:3a:00.0", "config"), string(config))
		if got := n.Look().Bridges; got.Err != nil || got.Value != (node.Bridges{All: 1}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

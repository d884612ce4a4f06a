package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAVFIsKnownByItsPFAndItsNumberThere(t *testing.T) {
	got, err := readDevice(newTree(t).base, vfAddr)
	if err != nil {
		t.Fatal(err)
	}
	want := Device{PCI: vfAddr, Driver: "mlx5_core", VF: VF{PF: pfAddr, Index: 1}}
	if diff := cmp.Diff(want, got); diff != "" || !got.IsVF() {
		t.Errorf("device (-want +got):\n%s", diff)
	}
}

func TestAFunctionWithoutDriverIsDescribed(t *testing.T) {
	s := newTree(t)
	s.remove("bus/pci/devices/0000:17:00.2/driver")
	if d, err := readDevice(s.base, vfAddr); err != nil || d.Driver != "" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestAPFIsNoVF(t *testing.T) {
	if d, err := readDevice(newTree(t).base, pfAddr); err != nil || d.IsVF() {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestAnAddressWithoutFunctionIsNotTakenForAPF(t *testing.T) {
	if d, err := readDevice(newTree(t).base, "0000:99:00.0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %+v, %v, want ErrNotFound", d, err)
	}
}

func TestAVFThatItsPFDoesNotListIsAnError(t *testing.T) {
	s := newTree(t)
	s.remove("bus/pci/devices/0000:17:00.0/virtfn1")
	if _, err := readDevice(s.base, vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestTheNetdevOfAFunctionIsNotOneOfItsChildren(t *testing.T) {
	s := newTree(t)
	// Children sort before their parent and can have the smaller index.
	s.netdev("0000:17:00.2", "a.8020", "7", "12")
	s.netdev("0000:17:00.2", "ib9", "30", "30") // of port 2
	index, err := netdevIndex(s.base, vfAddr)
	if err != nil || index != 12 {
		t.Errorf("got netdev %d, %v, want 12", index, err)
	}
}

func TestAnAbsentNetdevIsNotFound(t *testing.T) {
	s := newTree(t)
	s.remove("bus/pci/devices/0000:17:00.2/net/ib3")
	if _, err := netdevIndex(s.base, vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("empty folder: %v", err)
	}
	s.remove("bus/pci/devices/0000:17:00.2/net")
	if _, err := netdevIndex(s.base, vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("no folder: %v", err)
	}
}

func TestAPortIsReadFromItsFiles(t *testing.T) {
	got, err := readPort(newTree(t).base, vfAddr)
	if err != nil {
		t.Fatal(err)
	}
	want := Port{
		NodeGUID: 0x0200000000000001, GUID: 0x0200000000000002,
		State: PortActive, LID: 0x1f, PKeys: []uint16{0x9000, 0x7fff, 0x0020},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("port (-want +got):\n%s", diff)
	}
}

func TestGUIDsThatNobodySetAreValues(t *testing.T) {
	s := newTree(t)
	rdma := "bus/pci/devices/0000:17:00.2/infiniband/mlx5_4/"
	s.file(rdma+"node_guid", "0000:0000:0000:0000")
	s.file(rdma+"ports/1/gids/0", "fe80:0000:0000:0000:ffff:ffff:ffff:ffff")
	p, err := readPort(s.base, vfAddr)
	if err != nil || p.NodeGUID != 0 || p.GUID != ^p.NodeGUID {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestARoCEPortHasNoPKeysToRead(t *testing.T) {
	s := newTree(t)
	rdma := "bus/pci/devices/0000:17:00.2/infiniband/mlx5_4/"
	s.file(rdma+"ports/1/link_layer", "Ethernet")
	s.remove(rdma + "ports/1/pkeys")
	if p, err := readPort(s.base, vfAddr); err != nil || !p.Ethernet {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestATornPortIsAnErrorNotAPanic(t *testing.T) {
	rdma := "bus/pci/devices/0000:17:00.2/infiniband/mlx5_4/"
	for name, spoil := range map[string]func(tree){
		"no GID":         func(s tree) { s.file(rdma+"ports/1/gids/0", "") },
		"short GUID":     func(s tree) { s.file(rdma+"node_guid", "0200:0000:0000") },
		"wordy state":    func(s tree) { s.file(rdma+"ports/1/state", "ACTIVE") },
		"pkey not hex":   func(s tree) { s.file(rdma+"ports/1/pkeys/1", "0xzz") },
		"two devices":    func(s tree) { s.dir("bus/pci/devices/0000:17:00.2/infiniband/mlx5_5") },
		"device is gone": func(s tree) { s.remove("bus/pci/devices/0000:17:00.2/infiniband") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTree(t)
			spoil(s)
			if p, err := readPort(s.base, vfAddr); err == nil {
				t.Errorf("got %+v and no error", p)
			}
		})
	}
}

func TestPCIAddresses(t *testing.T) {
	for text, want := range map[string]PCI{
		"0000:17:00.2":  "0000:17:00.2",
		"0000:AF:0C.7":  "0000:af:0c.7",
		"10000:e1:00.0": "10000:e1:00.0",
	} {
		if got, err := ParsePCI(text); err != nil || got != want {
			t.Errorf("ParsePCI(%q) = %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "17:00.2", "0000:17:00", "0000:17:00.8", "0000:17:00.2/..", "../../../etc",
		"0000:17:0g.2", "0000:17:00.2\n", "mlx5_core.sf.4", strings.Repeat("0", 4096)} {
		if got, err := ParsePCI(bad); err == nil {
			t.Errorf("ParsePCI(%q) = %q, want an error", bad, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("the error about a long text has %d bytes", len(err.Error()))
		}
	}
}

func TestTheRDMADeviceOfAScalableFunctionIsFoundByItsName(t *testing.T) {
	s := newTree(t)
	s.dir("bus/auxiliary/devices/mlx5_core.sf.4/infiniband/mlx5_9")
	pci, err := ParseAuxiliary("mlx5_core.sf.4")
	if err != nil {
		t.Fatal(err)
	}
	if name, err := rdmaName(s.base, pci); name != "mlx5_9" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
	for _, bad := range []string{"", "mlx5_core", "a.b", "a.b.c.d", "../../x", "a/b.sf.4", "..4", strings.Repeat("a", 80) + ".sf.4"} {
		if got, err := ParseAuxiliary(bad); err == nil {
			t.Errorf("ParseAuxiliary(%.20q) = %q, want an error", bad, got)
		}
	}
}

func TestADeviceWithNoneOrTwoRDMADevicesIsAnError(t *testing.T) {
	s := newTree(t)
	s.dir("bus/pci/devices/0000:17:00.2/infiniband/mlx5_5")
	if name, err := rdmaName(s.base, vfAddr); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are 2") {
		t.Errorf("two: %q, %v", name, err)
	}
	s.remove("bus/pci/devices/0000:17:00.2/infiniband/mlx5_4")
	s.remove("bus/pci/devices/0000:17:00.2/infiniband/mlx5_5")
	if name, err := rdmaName(s.base, vfAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("none: %q, %v", name, err)
	}
}

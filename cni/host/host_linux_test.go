package host

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestBindAndUnbindWriteTheAddressToTheDriver(t *testing.T) {
	s := newTree(t)
	h := New(Paths{Sysfs: s.base})
	ctx := t.Context()
	if err := h.Unbind(ctx, vfAddr); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(s.path("bus/pci/drivers/mlx5_core/unbind")); !strings.HasPrefix(string(text), string(vfAddr)) {
		t.Errorf("unbind holds %q", text)
	}
	s.remove("bus/pci/devices/0000:17:00.2/driver")
	if err := h.Unbind(ctx, vfAddr); err != nil {
		t.Errorf("unbinding what has no driver: %v", err)
	}
	if err := h.Bind(ctx, vfAddr, "mlx5_core"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(s.path("bus/pci/drivers/mlx5_core/bind")); !strings.HasPrefix(string(text), string(vfAddr)) {
		t.Errorf("bind holds %q", text)
	}
	if err := h.Unbind(ctx, "0000:99:00.0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unbinding what is not there: %v", err)
	}
}

func TestBindRefusesWhatAnotherDriverHas(t *testing.T) {
	h := New(Paths{Sysfs: newTree(t).base})
	if err := h.Bind(t.Context(), vfAddr, "vfio-pci"); err == nil || !strings.Contains(err.Error(), "bound to mlx5_core") {
		t.Errorf("got %v", err)
	}
	if err := h.Bind(t.Context(), vfAddr, "mlx5_core"); err != nil {
		t.Errorf("the driver it has: %v", err)
	}
}

func TestTheKernelsAnswerAboutAVFIsRead(t *testing.T) {
	vf := func(n uint32, node, port uint64, state uint32) *nl.RtAttr {
		info := nl.NewRtAttr(nl.IFLA_VF_INFO, nil)
		// The PF's own address, cut off: no more an Ethernet address than the VLAN below is one.
		mac := nl.VfMac{Vf: n}
		copy(mac.Mac[:], []byte{0x80, 0, 0, 0x41, 0xfe, 0x80})
		info.AddRtAttr(nl.IFLA_VF_MAC, mac.Serialize())
		info.AddRtAttr(nl.IFLA_VF_VLAN, (&nl.VfVlan{Vf: n, Vlan: 7}).Serialize())
		info.AddRtAttr(nl.IFLA_VF_LINK_STATE, (&nl.VfLinkState{Vf: n, LinkState: state}).Serialize())
		info.AddRtAttr(nl.IFLA_VF_IB_NODE_GUID, (&nl.VfGUID{Vf: n, GUID: node}).Serialize())
		info.AddRtAttr(nl.IFLA_VF_IB_PORT_GUID, (&nl.VfGUID{Vf: n, GUID: port}).Serialize())
		return info
	}
	list := nl.NewRtAttr(unix.IFLA_VFINFO_LIST|unix.NLA_F_NESTED, nil)
	list.AddChild(vf(0, 1, 2, 0))
	list.AddChild(vf(1, 0x0200000000000001, 0xffffffffffffffff, 2))
	message := append(nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize(), list.Serialize()...)

	got, found, err := parseVF(message, 1)
	want := VFConfig{NodeGUID: 0x0200000000000001, PortGUID: 0xffffffffffffffff, LinkState: Disable}
	if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
		t.Errorf("found %t, %v (-want +got):\n%s", found, err, diff)
	}
	if _, found, err := parseVF(message, 7); found || err != nil {
		t.Errorf("a VF that is not there: found %t, %v", found, err)
	}
	for cut := range len(message) {
		_, _, _ = parseVF(message[:cut], 1) // no answer can panic
	}
}

func TestWhatThePFOfAnEthernetCardHoldsIsRead(t *testing.T) {
	info := nl.NewRtAttr(nl.IFLA_VF_INFO, nil)
	mac := nl.VfMac{Vf: 3}
	copy(mac.Mac[:], []byte{2, 1, 0, 0, 0, 9})
	info.AddRtAttr(nl.IFLA_VF_MAC, mac.Serialize())
	info.AddRtAttr(nl.IFLA_VF_VLAN, (&nl.VfVlan{Vf: 3, Vlan: 100, Qos: 5}).Serialize())
	tags := nl.NewRtAttr(nl.IFLA_VF_VLAN_LIST, nil)
	tag := (&nl.VfVlanInfo{VfVlan: nl.VfVlan{Vf: 3, Vlan: 100, Qos: 5}}).Serialize()
	binary.BigEndian.PutUint16(tag[12:], VLAN8021AD)
	tags.AddRtAttr(nl.IFLA_VF_VLAN_INFO, tag)
	info.AddChild(tags)
	info.AddRtAttr(nl.IFLA_VF_RATE, (&nl.VfRate{Vf: 3, MinTxRate: 10, MaxTxRate: 500}).Serialize())
	info.AddRtAttr(nl.IFLA_VF_SPOOFCHK, (&nl.VfSpoofchk{Vf: 3, Setting: 1}).Serialize())
	info.AddRtAttr(nl.IFLA_VF_TRUST, (&nl.VfTrust{Vf: 3, Setting: ^uint32(0)}).Serialize())
	list := nl.NewRtAttr(unix.IFLA_VFINFO_LIST|unix.NLA_F_NESTED, nil)
	list.AddChild(info)
	message := append(nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize(), list.Serialize()...)

	got, found, err := parseVF(message, 3)
	want := Ethernet{MAC: MAC{2, 1, 0, 0, 0, 9}, VLAN: 100, QoS: 5, Proto: VLAN8021AD, MinRate: 10, MaxRate: 500, SpoofCheck: true}
	if diff := cmp.Diff(want, got.Ethernet); diff != "" || !found || err != nil {
		t.Errorf("found %t, %v (-want +got):\n%s", found, err, diff)
	}
	for cut := range len(message) {
		_, _, _ = parseVF(message[:cut], 3) // no answer can panic
	}
}

// newNetNS makes a network namespace with one end of a veth pair in it.
func newNetNS(t *testing.T) NetNS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs network namespaces, and this is neither root nor may it make a user namespace")
	}
	made, err := testutils.NewNS()
	if err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() {
		_ = made.Close()
		_ = testutils.UnmountNS(made)
	})
	return NetNS(made.Path())
}

func TestAPathSaysThatANamespaceIsGoneOnlyWhereItsFolderIs(t *testing.T) {
	ctx, h, dir := t.Context(), New(Paths{}), t.TempDir()
	if err := os.WriteFile(dir+"/unmounted", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		dir + "/gone": true, dir + "/elsewhere/gone": false, dir + "/unmounted": false, "/proc/self/ns/net": true,
	} {
		if sees, err := h.SeesNetNS(ctx, NetNS(path)); sees != want || err != nil {
			t.Errorf("%s: %t, %v", path, sees, err)
		}
	}
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Skip(err)
	}
	if sees, err := h.SeesNetNS(ctx, "/proc/4194304/ns/net"); sees != (own == nodesPIDs) || err != nil {
		t.Errorf("of a process: %t, %v in %s", sees, err, own)
	}
}

func TestANetdevMovesAndGetsItsNameAtOnce(t *testing.T) {
	ctx, h := t.Context(), New(Paths{})
	from, to := newNetNS(t), newNetNS(t)
	var index int
	inside(t, from, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ibA"}, PeerName: "ibB"})
	})
	index = indexOf(t, from, "ibA")
	inside(t, from, func() error { return netlink.LinkAddAltName(linkAt(index), "former") })
	if err := h.MoveNetdev(ctx, from, index, to, "net1"); err != nil {
		t.Fatal(err)
	}
	index = indexOf(t, to, "net1")

	if err := h.SetNetdevUp(ctx, to, index, true); err != nil {
		t.Fatal(err)
	}
	if err := h.SetNetdevUp(ctx, to, index, false); err != nil {
		t.Fatal(err)
	}
	if err := h.RenameNetdev(ctx, to, index, "former"); err != nil {
		t.Errorf("taking an alternative name as the name: %v", err)
	}
	indexOf(t, to, "former")

	// The namespace's own sysfs shows it, and the host's does not.
	err := h.sysfsAt(to, func(base string) error {
		_, err := os.Stat(filepath.Join(base, "class/net/former"))
		return err
	})
	if err != nil {
		t.Errorf("sysfs of the namespace: %v", err)
	}
	if _, err := os.Stat("/sys/class/net/former"); err == nil {
		t.Error("the host's sysfs shows it too")
	}

	if err := h.DeleteNetdev(ctx, to, index); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteNetdev(ctx, to, index); err != nil {
		t.Errorf("deleting it again: %v", err)
	}
	if err := h.MoveNetdev(ctx, to, index, from, "ibA"); !errors.Is(err, ErrNotFound) {
		t.Errorf("moving what is gone: %v", err)
	}
	if err := h.SetNetdevUp(ctx, to, index, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("raising what is gone: %v", err)
	}
}

func TestAPodCannotKeepItsNetdevByGivingItANameOfTheHost(t *testing.T) {
	ctx, h := t.Context(), New(Paths{})
	pod, home := newNetNS(t), newNetNS(t)
	for ns, name := range map[NetNS]string{pod: "net1", home: "bond0"} {
		inside(t, ns, func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"})
		})
	}
	index := indexOf(t, pod, "net1")
	inside(t, pod, func() error { return netlink.LinkAddAltName(linkAt(index), "bond0") })
	if err := h.MoveNetdev(ctx, pod, index, home, "ib3"); err != nil {
		t.Fatal(err)
	}
	indexOf(t, home, "ib3")
	// That its own name is taken is another matter.
	if err := h.MoveNetdev(ctx, pod, indexOf(t, pod, "net1p"), home, "bond0"); !errors.Is(err, unix.EEXIST) {
		t.Errorf("to a name that is taken: %v", err)
	}
}

func TestTheNodeBootedBeforeNow(t *testing.T) {
	now := time.Now()
	if booted, err := Booted(now); err != nil || !booted.Before(now) {
		t.Errorf("booted %v, %v", booted, err)
	}
}

func TestTheBootIDIsReadWithoutItsNewline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(file, []byte("b1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := New(Paths{BootID: file}).BootID(t.Context()); err != nil || got != "b1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func inside(t *testing.T, n NetNS, f func() error) {
	t.Helper()
	if err := ns.WithNetNSPath(string(n), func(ns.NetNS) error { return f() }); err != nil {
		t.Fatal(err)
	}
}

func indexOf(t *testing.T, n NetNS, name string) (index int) {
	t.Helper()
	inside(t, n, func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			index = link.Attrs().Index
		}
		return err
	})
	return index
}

package host

import (
	"fmt"
	"net"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// PCI is the address of a PCI function: domain:bus:device.function in lower-case hex, as
// in 0000:17:00.2. Only ParsePCI makes one of foreign text, so it is safe in a path.
//
// An auxiliary device (a scalable function, as mlx5_core.sf.4) has no such address. Where
// only the RDMA device is asked for, its name can stand in for one: see ParseAuxiliary.
type PCI string

// ParseAuxiliary reads the name of an auxiliary device: driver.kind.number.
func ParseAuxiliary(s string) (PCI, error) {
	parts := strings.Split(s, ".")
	ok := len(parts) == 3 && len(s) < 64
	for _, p := range parts {
		ok = ok && p != "" && strings.Trim(strings.ToLower(p), "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
	}
	if !ok {
		return "", fmt.Errorf("%.40q is no auxiliary device; write it as mlx5_core.sf.4", s)
	}
	return PCI(s), nil
}

// ParsePCI reads an address with its domain, in either case.
func ParsePCI(s string) (PCI, error) {
	low := strings.ToLower(s)
	domain, rest, _ := strings.Cut(low, ":")
	bus, rest, _ := strings.Cut(rest, ":")
	device, function, _ := strings.Cut(rest, ".")
	// A domain has more than four digits behind some host bridges (Intel VMD).
	if len(domain) < 4 || len(domain) > 8 || len(bus) != 2 || len(device) != 2 || len(function) != 1 ||
		strings.Trim(domain+bus+device, "0123456789abcdef") != "" || function < "0" || function > "7" {
		if len(s) > 40 {
			s = s[:40] + "…"
		}
		return "", fmt.Errorf("%q is no PCI address; write it as 0000:17:00.2", s)
	}
	return PCI(low), nil
}

// NetNS is the path of a network namespace, as CNI_NETNS gives it. The zero value is the
// namespace that the program runs in: the host's.
type NetNS string

// Home is the host's namespace.
const Home NetNS = ""

func (n NetNS) String() string {
	if n == Home {
		return "the host's namespace"
	}
	return string(n)
}

// Device is a PCI function as its bus shows it.
type Device struct {
	PCI    PCI
	Driver string // "" without one
	VF     VF     // the zero value for a function that is no VF
}

// IsVF reports whether the function is a VF.
func (d Device) IsVF() bool { return d.VF.PF != "" }

// VFIO is the driver that hands a function to a virtual machine.
const VFIO = "vfio-pci"

// UserSpace reports whether a program drives the function itself: the kernel has neither
// a netdev nor an RDMA device of it.
func (d Device) UserSpace() bool {
	return d.Driver == VFIO || d.Driver == "uio_pci_generic" || d.Driver == "igb_uio"
}

// VF names a VF by its PF and its number there, which is how the PF is told about it.
type VF struct {
	PF    PCI
	Index int // from 0
}

func (v VF) String() string { return fmt.Sprintf("VF %d of %s", v.Index, v.PF) }

// VFConfig is what the PF holds for a VF. GUIDs that nobody set are zero; so are all of them
// where the kernel (before 5.5) or the PF's driver does not tell.
type VFConfig struct {
	NodeGUID, PortGUID guid.GUID
	LinkState          LinkState
	Ethernet           Ethernet // zero for InfiniBand
}

// Ethernet is what a PF of an Ethernet card holds for a VF.
type Ethernet struct {
	MAC              MAC // zero: the VF chooses
	VLAN, QoS        int // 0: none
	Proto            int // of the VLAN tag: 0x8100 or 0x88a8 (802.1ad); 0 as the first
	MinRate, MaxRate int // Mbit/s; 0: no limit
	SpoofCheck       bool
	Trust            bool
}

// The protocols of VLAN tags.
const (
	VLAN8021Q  = 0x8100
	VLAN8021AD = 0x88a8
)

// MAC is an Ethernet address. Unlike net.HardwareAddr it can be compared.
type MAC [6]byte

// ParseMAC reads an address of six bytes, neither zero nor of a group.
func ParseMAC(s string) (MAC, error) {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != 6 {
		return MAC{}, fmt.Errorf("%.40q is no Ethernet address; write it as 02:00:00:00:00:01", s)
	}
	m := MAC(b)
	if m == (MAC{}) || m[0]&1 != 0 {
		return MAC{}, fmt.Errorf("%s is not the address of one interface (it is zero or of a group)", m)
	}
	return m, nil
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// LinkState is the policy for the link of a VF (IFLA_VF_LINK_STATE).
type LinkState uint32

const (
	Auto    LinkState = iota // as the port of the PF
	Enable                   // always up
	Disable                  // always down
)

// ParseLinkState reads auto, enable or disable.
func ParseLinkState(s string) (LinkState, error) {
	for _, l := range []LinkState{Auto, Enable, Disable} {
		if s == l.String() {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is no link state; write auto, enable or disable", s)
}

func (l LinkState) String() string {
	switch l {
	case Auto:
		return "auto"
	case Enable:
		return "enable"
	case Disable:
		return "disable"
	}
	return fmt.Sprintf("LinkState(%d)", uint32(l))
}

// Netdev is a network device in one namespace.
type Netdev struct {
	Index    int
	Name     string
	Up       bool
	Carrier  bool // its link is up, too
	MTU      int
	Addr     net.HardwareAddr // 20 bytes for IPoIB, the last 8 of them the port GUID
	Children []Child          // IPoIB netdevs of further PKeys
}

// Child is an IPoIB netdev made for a PKey of its parent's port.
type Child struct {
	Index int
	Name  string
	Entry uint16 // the PKey, its top bit always set: the membership is not to be had from it
}

// RDMADevice is a device of the RDMA subsystem. The index outlives moves and renames.
type RDMADevice struct {
	Index uint32
	Name  string
}

// RDMAMode says whether RDMA devices belong to one network namespace or to all.
type RDMAMode string

const (
	Exclusive RDMAMode = "exclusive"
	Shared    RDMAMode = "shared"
)

// Port is a port of an RDMA device.
type Port struct {
	NodeGUID guid.GUID // of the device
	GUID     guid.GUID // from the port's first GID
	Ethernet bool      // a RoCE port: no PKeys and no LID to speak of
	State    PortState
	LID      uint16 // zero until the subnet manager gave one
	PKeys    []uint16
}

// PortState is a port's logical state (InfiniBand Architecture Specification vol. 1,
// 14.2.5.6), as in /sys/class/infiniband/*/ports/1/state.
type PortState uint8

const (
	PortDown   PortState = 1
	PortInit   PortState = 2
	PortArmed  PortState = 3
	PortActive PortState = 4
)

func (s PortState) String() string {
	switch s {
	case PortDown:
		return "DOWN"
	case PortInit:
		return "INIT"
	case PortArmed:
		return "ARMED"
	case PortActive:
		return "ACTIVE"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Package host is the seam between the CNI plugins and the node's kernel: a handful of
// verbs on typed values. Host is the real one, over netlink and sysfs, and the only code
// of the project that touches either; package hostfake has one for tests.
//
// Devices are found by PCI address and held by index, never by name: udev renames
// netdevs, parallel rebinds swap the names of RDMA devices, two of them in different
// namespaces can have one name (Linux 7.3 and later), and a device that moves
// between namespaces can come back under another name. Every look-up says in which
// namespace it looks, because moving the RDMA device of an InfiniBand VF destroys its
// IPoIB netdev and makes a new one, in the host's namespace (Linux up to 6.16) or beside
// the RDMA device (later).
//
// No verb waits for anything to happen: what takes time is for the caller to poll.
package host

import (
	"context"
	"errors"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/guid"
)

// ErrNotFound is in the error of a verb whose device is not where it was looked for.
var ErrNotFound = errors.New("not found")

// Kernel is all verbs. A consumer that needs few of them names those parts.
type Kernel interface {
	Node
	Functions
	VFs
	Netdevs
	Addresses
	Children
	RDMA
}

// Node is about the node as a whole.
type Node interface {
	// BootID names this boot of the node; state of another boot says nothing of the kernel.
	BootID(ctx context.Context) (string, error)
	// HasNetNS reports whether ns is a network namespace that still exists.
	HasNetNS(ctx context.Context, ns NetNS) (bool, error)
	// SeesNetNS reports whether a namespace at this path would be seen here. Where it would
	// not, as in a container without the folder that it lies in, that HasNetNS finds none says
	// nothing.
	SeesNetNS(ctx context.Context, ns NetNS) (bool, error)
	// NetNSID tells the namespace at a path from all others of this boot, also from a later
	// one at the same path, as of a process whose number is given again. It is "" where the
	// kernel does not tell (before Linux 5.14); ErrNotFound when there is no namespace.
	NetNSID(ctx context.Context, ns NetNS) (string, error)
	// RDMAMode is what `rdma system show netns` says.
	RDMAMode(ctx context.Context) (RDMAMode, error)
}

// Functions is about PCI functions and their drivers.
type Functions interface {
	// Device describes the function at pci; ErrNotFound when the node has none there.
	Device(ctx context.Context, pci PCI) (Device, error)
	// Unbind takes the function from its driver: its netdev and RDMA device end, in
	// whatever namespace they are. Without a driver it does nothing.
	Unbind(ctx context.Context, pci PCI) error
	// Bind gives the function to a driver, which makes both anew, in the host's
	// namespace and with the GUIDs that the PF holds. Bound to it, it does nothing.
	Bind(ctx context.Context, pci PCI, driver string) error
}

// VFs is what a PF holds for its VFs.
type VFs interface {
	// VFConfig reads it, as `ip link show dev PF` does.
	VFConfig(ctx context.Context, vf VF) (VFConfig, error)
	// SetVFGUID is `ip link set dev PF vf N node_guid G`, then the same with port_guid.
	// The VF's driver takes them over when it binds.
	SetVFGUID(ctx context.Context, vf VF, node, port guid.GUID) error
	// SetVFLinkState is `ip link set dev PF vf N state auto|enable|disable`.
	SetVFLinkState(ctx context.Context, vf VF, state LinkState) error
	// SetVFEthernet is `ip link set dev PF vf N` with mac, vlan, rate, spoofchk and trust,
	// each where it differs from what the PF holds. An error can leave some of them set.
	SetVFEthernet(ctx context.Context, vf VF, to Ethernet) error
}

// Netdevs is about the netdev of a PCI function.
type Netdevs interface {
	// Netdev is the function's netdev if it is in ns, else ErrNotFound.
	Netdev(ctx context.Context, ns NetNS, pci PCI) (Netdev, error)
	// MoveNetdev is `ip link set dev I netns NS name NAME`, one request: there is no
	// moment at which the netdev has its new name in its old namespace, or the reverse.
	MoveNetdev(ctx context.Context, from NetNS, index int, to NetNS, name string) error
	// RenameNetdev is `ip link set dev I name NAME`.
	RenameNetdev(ctx context.Context, ns NetNS, index int, name string) error
	// SetNetdevUp is `ip link set dev I up` or `down`.
	SetNetdevUp(ctx context.Context, ns NetNS, index int, up bool) error
	// SetNetdevMTU is `ip link set dev I mtu N`.
	SetNetdevMTU(ctx context.Context, ns NetNS, index, mtu int) error
	// SetNetdevAddr is `ip link set dev I address MAC`.
	SetNetdevAddr(ctx context.Context, ns NetNS, index int, addr MAC) error
}

// Addresses is about IP on a netdev, found by its name.
type Addresses interface {
	// Configure gives the netdev named name in ns the addresses and routes of an IPAM
	// result, as `ip address add` and `ip route add` would.
	Configure(ctx context.Context, ns NetNS, name string, result *types100.Result) error
	// Configured says what of the result's addresses, or of the rules that RouteBySource
	// makes of them when bySource is set, is missing; nil when nothing is.
	Configured(ctx context.Context, ns NetNS, name string, result *types100.Result, bySource bool) error
	// HasDefaultRoute reports whether the main table of ns has a default route.
	HasDefaultRoute(ctx context.Context, ns NetNS, v6 bool) (bool, error)
	// RouteBySource has packets from the result's addresses leave through the netdev: a
	// rule for each address, and a table of the netdev's own with its subnets, its gateways
	// and the result's routes. Rules of netdevs that are gone go with it.
	RouteBySource(ctx context.Context, ns NetNS, name string, result *types100.Result) error
	// UnrouteBySource takes the rules of the netdev with an index away, and those of netdevs
	// that are gone; 0 is for those alone. The table ends with its netdev.
	UnrouteBySource(ctx context.Context, ns NetNS, index int) error
	// Announce tells the link's other nodes whose the result's addresses are now, once
	// each: by ARP, and by unsolicited neighbour advertisements.
	Announce(ctx context.Context, ns NetNS, name string, result *types100.Result) error
}

// Children is about the IPoIB netdevs for further PKeys of a port.
type Children interface {
	// AddChild is `ip link add link I name NAME type ipoib pkey ENTRY`. The netdev
	// always has the membership bit, whatever entry says: the kernel sets it.
	AddChild(ctx context.Context, ns NetNS, parent int, name string, entry uint16) error
	// DeleteNetdev is `ip link delete dev I`; one that is gone is no error.
	DeleteNetdev(ctx context.Context, ns NetNS, index int) error
}

// RDMA is about the RDMA device of a PCI function and its port.
type RDMA interface {
	// RDMADevice is the function's RDMA device if ns shows it, else ErrNotFound. In
	// shared mode every namespace shows all of them.
	RDMADevice(ctx context.Context, ns NetNS, pci PCI) (RDMADevice, error)
	// MoveRDMA is `rdma dev set DEV netns NS`. It needs exclusive mode. Since Linux 7.3 it
	// fails with EEXIST where a device of NS has the name of this one.
	MoveRDMA(ctx context.Context, from NetNS, index uint32, to NetNS) error
	// RenameRDMA is `rdma dev set DEV name NAME`. Names are the whole node's up to Linux 7.2,
	// and a namespace's since.
	RenameRDMA(ctx context.Context, ns NetNS, index uint32, name string) error
	// Port reads the device's first port out of the sysfs of ns.
	Port(ctx context.Context, ns NetNS, pci PCI) (Port, error)
}

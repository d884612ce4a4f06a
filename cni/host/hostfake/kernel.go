// Package hostfake is a kernel for tests: a host.Kernel in memory that does to devices
// what real ones were seen to do. A rebind makes netdev and RDMA device anew, under other
// indices and names; moving an RDMA device makes its IPoIB netdev anew, in a namespace
// that depends on the kernel's generation; a namespace that ends gives its devices back
// after a while; a subnet manager fills PKey tables in its own time.
//
// Nothing runs in the background: what happens later is worked out when somebody looks,
// from time.Now. In a synctest bubble an hour of it takes no time.
package hostfake

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// Generation says where the netdev of a moved RDMA device turns up, and whose the names of
// RDMA devices are.
type Generation string

const (
	// HostNetdev is Linux up to 6.16: in the host's namespace.
	HostNetdev Generation = "netdev re-created in the host"
	// PodNetdev is Linux 6.17 to 7.2: in the namespace of the RDMA device.
	PodNetdev Generation = "netdev re-created in the pod"
	// PodNames is Linux 7.3 and later: as PodNetdev, and two RDMA devices in different
	// namespaces can have one name. Before, names are the node's.
	PodNames Generation = "names of RDMA devices by namespace"
)

// Generations are all, for tests that hold on any.
func Generations() []Generation { return []Generation{HostNetdev, PodNetdev, PodNames} }

// Options are how the kernel behaves. Delays that are zero are no delays.
type Options struct {
	Generation  Generation    // HostNetdev unless told
	Mode        host.RDMAMode // host.Exclusive unless told
	SMDelay     time.Duration // from a port's coming up to its PKeys and ACTIVE
	BindTime    time.Duration // how long a driver takes to bind, and to let go
	NetdevDelay time.Duration // from a bind or move to the netdev
	UdevDelay   time.Duration // from a netdev's appearing to its renaming; zero: never
	ReturnDelay time.Duration // from a namespace's end to its devices' return
	BootID      string        // "boot-1" unless told
	NoMinRate   bool          // Ethernet PFs refuse a lower limit for a VF's rate
	SilentPFs   bool          // PFs do not tell the GUIDs that they hold, as before Linux 5.5
}

// Kernel is the fake. Its methods beyond host.Kernel set the stage.
type Kernel struct {
	options Options

	mu         sync.Mutex
	boot       string
	boots      int
	functions  map[host.PCI]*function
	namespaces map[host.NetNS]int // the how manieth of this boot
	made       int
	addresses  map[address]configured
	announced  []string
	rules      map[rule]int
	tables     map[guid.GUID]table
	lastIndex  int
	lastRDMA   uint32
}

var _ host.Kernel = (*Kernel)(nil)

// address names a netdev that Configure was called for.
type address struct {
	ns   host.NetNS
	name string
}

// configured is what it got; rule is a source address with a table of its own, that of
// the netdev with some index.
type (
	configured struct {
		ips                string
		default4, default6 bool
	}
	rule struct {
		ns host.NetNS
		ip string
	}
)

// table is what the subnet manager has for a port with some GUID, since when.
type table struct {
	entries []uint16
	since   time.Time
}

// function is a PCI function. dev is nil while no driver of the kernel's network stack
// has it.
type function struct {
	pci      host.PCI
	vf       host.VF
	ethernet bool
	driver   string
	config   host.VFConfig
	fresh    host.VFConfig // as after a reboot
	dev      *device
}

// device is what a driver made of a function, with the GUIDs it found at the time.
type device struct {
	node, port guid.GUID
	since      time.Time
	rdma       host.RDMADevice
	ns         host.NetNS // of the RDMA device
	netdev     *netdev
	back       time.Time // when the devices of an ended namespace are home; zero: not under way
}

type netdev struct {
	host.Netdev
	of      *function
	ns      host.NetNS
	appears time.Time
	renamed bool // by udev, or by somebody who asked for a name
}

// New is a kernel without devices.
func New(options Options) *Kernel {
	if options.Generation == "" {
		options.Generation = HostNetdev
	}
	if options.Mode == "" {
		options.Mode = host.Exclusive
	}
	if options.BootID == "" {
		options.BootID = "boot-1"
	}
	return &Kernel{
		options: options, boot: options.BootID, boots: 1,
		functions: map[host.PCI]*function{}, namespaces: map[host.NetNS]int{},
		addresses: map[address]configured{}, rules: map[rule]int{}, tables: map[guid.GUID]table{}, lastIndex: 10,
	}
}

// BootID implements host.Node.
func (k *Kernel) BootID(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.boot, nil
}

// HasNetNS implements host.Node.
func (k *Kernel) HasNetNS(_ context.Context, ns host.NetNS) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.has(ns), nil
}

// SeesNetNS implements host.Node: the fake's namespaces all lie in one folder.
func (k *Kernel) SeesNetNS(_ context.Context, ns host.NetNS) (bool, error) {
	return strings.HasPrefix(string(ns), netNSDir), nil
}

func (k *Kernel) has(ns host.NetNS) bool { return ns == host.Home || k.namespaces[ns] > 0 }

// NetNSID implements host.Node.
func (k *Kernel) NetNSID(_ context.Context, ns host.NetNS) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.namespaces[ns] == 0 {
		return "", fmt.Errorf("network namespace %s: %w", ns, host.ErrNotFound)
	}
	return fmt.Sprint(k.namespaces[ns]), nil
}

// RDMAMode implements host.Node.
func (k *Kernel) RDMAMode(context.Context) (host.RDMAMode, error) { return k.options.Mode, nil }

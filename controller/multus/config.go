package multus

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

// Config is a SpiderMultusConfig, read.
type Config struct {
	Name        types.NamespacedName
	UID         types.UID
	Labels      map[string]string
	Annotations map[string]string

	CNIType string // one of the constants below
	Main    Main   // nil for Custom
	IPAM    IPAM
	// Coordinator says how Spiderpool's coordinator plugin is to tune the pod's routes.
	Coordinator Coordinator
	Chain       []json.RawMessage // further plugins, JSON objects, behind the main one
	CustomCNI   string            // for Custom: the NAD's whole config; "" is a file on the node

	// Unknown are the fields that this package does not know, by path, as they were.
	Unknown map[string]any
	// Warnings are for whoever wrote the config: what has no effect, or another one than
	// it seems to have.
	Warnings []string
}

// The kinds of network, spec.cniType.
const (
	IBSRIOV = "ib-sriov"
	SRIOV   = "sriov"
	IPoIB   = "ipoib"
	MACVLAN = "macvlan"
	IPVLAN  = "ipvlan"
	Custom  = "custom"
)

// Main is the block of a config that describes its network.
type Main interface {
	// Resource is what a pod on the network takes from its node, as in
	// spidernet.io/gpu1sriov; "" is nothing.
	Resource() string
	// order is what Spiderpool sorts networks of this kind by; "" leaves it to the name.
	order() string
	// plugins are the main plugin and those that must stand right before and behind it.
	plugins(ipam any) (main []any, last []any)
}

// IBSRIOVNetwork is spec.ibsriov: VFs of an InfiniBand card.
type IBSRIOVNetwork struct {
	ResourceName  string
	PKey          pkey.PKey // zero: none
	LinkState     string    // auto, enable or disable
	RDMAIsolation bool      // the pod sees its own RDMA device alone
	Wait          bool      // the CNI waits until the fabric has the pod's GUID
}

// SRIOVNetwork is spec.sriov: VFs of an Ethernet card, for RoCE.
type SRIOVNetwork struct {
	ResourceName         string
	VLAN                 int64 // 0: none
	MTU                  int64 // 0: as it is
	MinTxRate, MaxTxRate int64 // Mbps; 0: no bound
	RDMAIsolation        bool
}

// IPoIBNetwork is spec.ipoib: child interfaces of an IPoIB interface of the node.
type IPoIBNetwork struct{ Master string }

// LinkNetwork is spec.macvlan or spec.ipvlan: sub-interfaces of the node's.
type LinkNetwork struct {
	Kind         string   // MACVLAN or IPVLAN
	Masters      []string // several are bonded
	Bond         *Bond
	VLAN         int64  // 0: none
	MTU          int64  // 0: the master's
	ResourceName string // of a shared RDMA device; "": none
}

// Bond is the interface that several masters make.
type Bond struct {
	Name    string `json:"name"`
	Mode    int64  `json:"mode"` // 0 to 6, as the kernel numbers them
	Options string `json:"options,omitempty"`
}

// IPAM is where a network's addresses come from.
type IPAM struct {
	Disabled bool            // from nowhere
	Config   json.RawMessage // spec.ipam: the block for another IPAM plugin, as it is
	// Pools are Spiderpool's, which is the IPAM plugin unless the two above say otherwise.
	IPv4, IPv6        []string
	MatchMasterSubnet bool
}

// Coordinator is spec.enableCoordinator and spec.coordinator. A nil is Spiderpool's default.
type Coordinator struct {
	Enabled *bool // nil: where there is one
	Said    bool  // spec.coordinator is there

	Mode           string // auto, underlay, overlay or disabled
	TunePodRoutes  *bool
	TxQueueLen     *int64
	HostRuleTable  *int64
	PodRPFilter    *int64 // negative: as it is
	VethMTU        *int64 // bytes
	VethLink       string // an address
	DefaultRoute   string // the pod's interface that has the default route
	MACPrefix      string
	HijackCIDR     []string
	PolicyRoutes   []PolicyRoute
	DetectConflict *bool // up to v1.0.0-rc4
	DetectGateway  *bool // up to v1.0.0-rc4
}

// PolicyRoute is a route in the table of the pod's interface.
type PolicyRoute struct {
	Dst string `json:"dst"`
	Gw  string `json:"gw"`
}

// Resource is what a pod on the network takes from its node; "" is nothing.
func (c Config) Resource() string {
	if c.Main == nil {
		return c.Annotations[ResourceAnnotation]
	}
	return c.Main.Resource()
}

// Resource is that of the VFs.
func (n IBSRIOVNetwork) Resource() string { return n.ResourceName }

// Resource is that of the VFs.
func (n SRIOVNetwork) Resource() string { return n.ResourceName }

// Resource is none: a SpiderMultusConfig has no place for it.
func (n IPoIBNetwork) Resource() string { return "" }

// Resource is that of the shared RDMA device, if there is one.
func (n LinkNetwork) Resource() string { return n.ResourceName }

// InfiniBand rails go by their names, as in Spiderpool, whose users know which interface is
// which card.
func (n IBSRIOVNetwork) order() string { return "" }
func (n SRIOVNetwork) order() string   { return n.ResourceName }
func (n IPoIBNetwork) order() string   { return "" }

func (n LinkNetwork) order() string {
	switch {
	case len(n.Masters) > 1 && n.Bond != nil:
		return n.Bond.Name
	case len(n.Masters) > 0:
		return n.Masters[0]
	}
	return ""
}

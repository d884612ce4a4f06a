// Package record is what a node remembers of an attachment (a container's interface)
// from before the first change until the last one is undone: how the device was before.
// A record is one JSON file; its name alone says which attachment has which device and
// which GUID, so that even a torn one can be undone.
//
// The package also reads the cache files of ib-sriov-cni and sriov-cni, so that a node
// can change over while pods run.
package record

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// Key names an attachment: CNI calls its plugins with this pair.
type Key struct{ ContainerID, IfName string }

func (k Key) String() string { return k.ContainerID + " " + k.IfName }

// Record is one attachment. Fields that a plugin has no use for stay empty.
type Record struct {
	Version     int       `json:"version"`
	Plugin      string    `json:"plugin"` // the CNI type: ib-sriov, sriov, rdma
	Network     string    `json:"network"`
	ContainerID string    `json:"containerID"`
	IfName      string    `json:"ifname"`
	Device      string    `json:"device"` // a PCI address
	NetNS       string    `json:"netns"`
	NetNSID     string    `json:"netnsID,omitempty"` // tells NetNS from a later one of the same path; "" when unknown
	BootID      string    `json:"bootID"`            // "" when unknown: the kernel's state may be of this boot
	Created     time.Time `json:"created"`           // when its ADD began

	// Ready is set when ADD is through. Without it nobody uses the interface yet, or any
	// more, and what stands here is to be undone.
	Ready bool `json:"ready"`
	// Until is set when nobody has the device, but it keeps the steps for another try of
	// the same owner, and when that ends.
	Until time.Time `json:"until,omitzero"`
	// Steps are the names of the steps that may have changed something, in their order.
	Steps    []string `json:"steps"`
	Original Original `json:"original"`

	GUID  GUID   `json:"guid,omitempty"`  // what the VF was given
	PKeys []PKey `json:"pkeys,omitempty"` // where they were found in the port's table
	// Proved: the fabric was seen to be ready for it.
	Proved bool `json:"proved,omitempty"`

	// What an IPAM plugin must be called with again to give its addresses back.
	Config  json.RawMessage `json:"config,omitempty"`
	CNIArgs string          `json:"cniArgs,omitempty"`
	CNIPath string          `json:"cniPath,omitempty"`

	// Torn says why the content is not to be believed; Key, Device and GUID still are.
	Torn error `json:"-"`

	own     bool      // in a Store, not some other program's
	files   []string  // where it was read from, its own first
	written time.Time // of some other program's: when
}

// Original is how a device was before the first change.
type Original struct {
	Driver    string    `json:"driver,omitempty"`
	Name      string    `json:"name,omitempty"` // of its netdev
	Up        bool      `json:"up,omitempty"`   // so was its netdev
	RDMA      string    `json:"rdma,omitempty"` // the name of its RDMA device; "" when left alone
	NodeGUID  GUID      `json:"nodeGUID"`       // as the PF had them, else the port
	PortGUID  GUID      `json:"portGUID"`
	LinkState string    `json:"linkState,omitempty"` // auto, enable, disable
	Ethernet  *Ethernet `json:"ethernet,omitempty"`
	// NetdevOnly: its RDMA device, if it has one, was left to others.
	NetdevOnly bool `json:"netdevOnly,omitempty"`
}

// Ethernet is what a PF had set for a VF of an Ethernet card.
type Ethernet struct {
	AdminMAC     string `json:"adminMAC,omitempty"`
	EffectiveMAC string `json:"effectiveMAC,omitempty"`
	VLAN         int    `json:"vlan"`
	VLANQoS      int    `json:"vlanQoS"`
	VLANProto    int    `json:"vlanProto,omitempty"` // an ethertype
	MinTxRate    int    `json:"minTxRate"`           // Mbit/s
	MaxTxRate    int    `json:"maxTxRate"`
	SpoofCheck   bool   `json:"spoofCheck"`
	Trust        bool   `json:"trust"`
	MTU          int    `json:"mtu,omitempty"`
}

// PKey is an entry of a port's table and its place.
type PKey struct {
	Entry uint16 `json:"entry"` // with the membership bit
	Index int    `json:"index"`
}

// version is that of the file's form. Another one counts as torn: to undo by halves what
// a later release did would be worse than to make the device safe.
const version = 1

// Key is the attachment's name.
func (r *Record) Key() Key { return Key{r.ContainerID, r.IfName} }

// Stored reports whether the record lies in a Store, so that it can be written again.
func (r *Record) Stored() bool { return r.own }

// Disown leaves the device to another attachment. What is left of this one is an address.
func (r *Record) Disown() {
	r.Torn, r.Steps = nil, []string{StepIPAM}
	r.files = r.files[:min(1, len(r.files))] // others say that the device is taken, now by another
}

// WrittenBefore reports whether another program wrote the record before a time, such as
// that of the boot: no container outlives its node, and the kernel forgets what it made.
func (r *Record) WrittenBefore(t time.Time) bool {
	return !r.own && !r.written.IsZero() && r.written.Before(t)
}

// GUID is a GUID as a VF had it: zeros and ones among them, which guid refuses to read.
type GUID guid.GUID

func (g GUID) String() string { return guid.GUID(g).String() }

// MarshalText writes 16 hex digits.
func (g GUID) MarshalText() ([]byte, error) { return []byte(guid.GUID(g).Hex()), nil }

// UnmarshalText reads them.
func (g *GUID) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		return fmt.Errorf("%q is not 16 hex digits", text)
	}
	*g = GUID(v)
	return nil
}

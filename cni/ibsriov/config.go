// Package ibsriov is the CNI plugin ib-sriov: it gives a pod a VF of an InfiniBand card,
// with its GUID set and its partitions proved. It takes the configuration of
// ib-sriov-cni as it is.
package ibsriov

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Config is what a network and a pod ask for, checked.
type Config struct {
	CNIVersion string
	Network    string
	Device     host.PCI
	LinkState  string // "" leaves it
	Isolate    bool   // the RDMA device belongs to the pod alone
	VFIO       bool   // the device must be bound to vfio-pci
	GUID       guid.GUID
	Claims     []Claim // PKeys that the port must have; the first is the network's
	Children   bool    // IPoIB netdevs for the claims after the first
	IPAM       string  // the IPAM plugin's type, "" for none
	BySource   bool    // what is asked through the interface is answered through it

	FabricTimeout time.Duration // for all interfaces of a container together; 0 skips
	FabricWarn    bool          // a fabric that is not ready is no error
}

// DefaultFabricTimeout leaves the runtime time for the rest: kubelet gives a sandbox two
// minutes.
const DefaultFabricTimeout = 90 * time.Second

// input is the JSON. What the plugin finds out for itself is nowhere in it, so that no
// configuration can set it; keys that are not here are other people's.
type input struct {
	CNIVersion    string          `json:"cniVersion"`
	Name          string          `json:"name"`
	DeviceID      string          `json:"deviceID"`
	PKey          json.RawMessage `json:"pkey"`
	LinkState     string          `json:"link_state"`
	RDMAIsolation bool            `json:"rdmaIsolation"`
	IBKubernetes  bool            `json:"ibKubernetesEnabled"`
	VFIOPCIMode   bool            `json:"vfioPciMode"`
	GUID          string          `json:"guid"`
	FabricTimeout *string         `json:"fabricTimeout"`
	FabricPolicy  string          `json:"fabricPolicy"`
	Children      bool            `json:"ipoibChildren"`
	SourceRoutes  *bool           `json:"sourceRoutes"`
	RuntimeConfig struct {
		GUID string `json:"infinibandGUID"`
	} `json:"runtimeConfig"`
	Args struct {
		CNI map[string]json.RawMessage `json:"cni"`
	} `json:"args"`
	IPAM struct {
		Type string `json:"type"`
	} `json:"ipam"`
}

// Keys of args.cni, which come from the pod's annotation.
const (
	argState = "mellanox.infiniband.app"
	argGUID  = "guid"
	argPKey  = "pkey"
	argPKeys = "ibfabric.io/pkeys"
)

// ParseConfig reads a configuration; its errors carry a code and the field's name.
func ParseConfig(text []byte) (Config, error) {
	var in input
	if err := plugin.Decode(text, &in); err != nil {
		return Config{}, err
	}
	c := Config{CNIVersion: in.CNIVersion, Network: in.Name, Isolate: in.RDMAIsolation, VFIO: in.VFIOPCIMode, Children: in.Children, IPAM: in.IPAM.Type}
	c.BySource = in.SourceRoutes == nil || *in.SourceRoutes
	for _, read := range []func(input) error{c.readDevice, c.readArgs, c.readFabric} {
		if err := read(in); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Config) readDevice(in input) (err error) {
	if in.DeviceID == "" {
		return plugin.NoDevice()
	}
	if c.Device, err = host.ParsePCI(in.DeviceID); err != nil {
		return plugin.Invalid("deviceID", "%w", err)
	}
	if in.LinkState != "" {
		if _, err := host.ParseLinkState(in.LinkState); err != nil {
			return plugin.Invalid("link_state", "%w", err)
		}
	}
	c.LinkState = in.LinkState
	if in.IPAM.Type == "dhcp" {
		return plugin.Invalid("ipam.type", "dhcp does not work on InfiniBand; use host-local, whereabouts or another")
	}
	return nil
}

func (c *Config) readArgs(in input) error {
	if err := c.readGUID(in); err != nil {
		return err
	}
	state, err := text(in, argState)
	if err != nil {
		return err
	}
	if in.IBKubernetes && state != "configured" {
		return plugin.Later("the controller has not configured this interface yet (args.cni[%q] is %q, want \"configured\"): see the pod's events", argState, state)
	}
	if in.IBKubernetes && c.GUID == 0 && !c.VFIO {
		return plugin.Invalid("args.cni.guid", "the controller is done (ibKubernetesEnabled), but gave no GUID here nor in runtimeConfig.infinibandGUID")
	}
	c.Claims, err = readClaims(in)
	return err
}

// readGUID takes the first GUID of: the capability, the pod's annotation, the network.
func (c *Config) readGUID(in input) error {
	arg, err := text(in, argGUID)
	if err != nil {
		return err
	}
	for _, from := range []struct{ field, text string }{
		{"runtimeConfig.infinibandGUID", in.RuntimeConfig.GUID}, {"args.cni.guid", arg}, {"guid", in.GUID},
	} {
		if from.text == "" {
			continue
		}
		if c.GUID, err = guid.Parse(from.text); err != nil {
			return plugin.Invalid(from.field, "%w", err)
		}
		return nil
	}
	return nil
}

func (c *Config) readFabric(in input) error {
	c.FabricTimeout = DefaultFabricTimeout
	if in.FabricTimeout != nil {
		d, err := time.ParseDuration(*in.FabricTimeout)
		if err != nil || d < 0 {
			return plugin.Invalid("fabricTimeout", "%q is no time; write it as 90s, or as 0 to skip the waiting", clip(*in.FabricTimeout))
		}
		c.FabricTimeout = d
	}
	switch in.FabricPolicy {
	case "", "fail":
	case "warn":
		c.FabricWarn = true
	default:
		return plugin.Invalid("fabricPolicy", "%q is none; write fail or warn", clip(in.FabricPolicy))
	}
	return nil
}

// text reads a string of args.cni. Keys of others may hold anything.
func text(in input, key string) (string, error) {
	raw := in.Args.CNI[key]
	if raw == nil || string(raw) == "null" {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", plugin.Invalid("args.cni."+key, "is %s, want a string", clip(string(raw)))
	}
	return s, nil
}

func clip(s string) string {
	if s = strings.ToValidUTF8(s, "?"); len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// Claim is a PKey that the port's table must show.
type Claim struct {
	PKey   pkey.PKey
	Mode   pkey.Mode
	Source string // the field it comes from
}

// Entry is the claim as the table shows it, with the membership bit.
func (c Claim) Entry() uint16 { return c.PKey.TableEntry(c.Mode.Membership) }

func (c Claim) String() string {
	s := c.PKey.String() + " (" + c.Mode.Membership.String()
	if c.Mode.Index0 {
		s += ", index 0"
	}
	return s + ")"
}

// readClaims takes the partitions that the controller wrote down: all of them in
// ibfabric.io/pkeys, else one in pkey, which then is full and at index 0. Without a
// controller the network's own pkey says only which partition, and full is the default.
func readClaims(in input) ([]Claim, error) {
	own, err := pkey.ParseJSON(in.PKey)
	if err != nil {
		return nil, plugin.Invalid("pkey", "%w", err)
	}
	one, err := text(in, argPKey)
	if err != nil {
		return nil, err
	}
	list, err := text(in, argPKeys)
	switch {
	case err != nil:
		return nil, err
	case list != "":
		return parseClaims(list)
	case one != "":
		p, err := pkey.Parse(one)
		if err != nil {
			return nil, plugin.Invalid("args.cni.pkey", "%w", err)
		}
		return []Claim{{PKey: p, Mode: pkey.Mode{Membership: pkey.Full, Index0: true}, Source: "args.cni.pkey"}}, nil
	case own != 0:
		return []Claim{{PKey: own, Mode: pkey.Mode{Membership: pkey.Full}, Source: "pkey"}}, nil
	}
	return nil, nil
}

// parseClaims reads <pkey>:full|limited[:index0],… as the controller writes it.
func parseClaims(list string) ([]Claim, error) {
	const field = "args.cni." + argPKeys
	var claims []Claim
	for part := range strings.SplitSeq(list, ",") {
		key, mode, _ := strings.Cut(part, ":")
		c := Claim{Source: field}
		var err error
		if c.PKey, err = pkey.Parse(key); err != nil {
			return nil, plugin.Invalid(field, "%w", err)
		}
		mode, c.Mode.Index0 = strings.CutSuffix(mode, ":index0")
		if c.Mode.Membership, err = pkey.ParseMembership(mode); err != nil || mode == "" {
			return nil, plugin.Invalid(field, "%q is no membership of %s; write it as %s:full", clip(mode), c.PKey, c.PKey)
		}
		claims = append(claims, c)
	}
	return claims, nil
}

// Package sriov is the CNI plugin sriov: it gives a pod a VF of an Ethernet card, and its
// RDMA device with it when the network says so (RoCE). It takes the configuration of
// sriov-cni as it is.
package sriov

import (
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
)

// Config is what a network and a pod ask for, checked. Pointers are nil where the VF is to
// stay as the host has set it up.
type Config struct {
	Network          string
	Device           host.PCI
	MAC              *host.MAC
	VLAN, QoS, Proto *int
	MinRate, MaxRate *int // Mbit/s, 0 for no limit
	SpoofCheck       *bool
	Trust            *bool
	LinkState        string // "" leaves it
	MTU              int    // 0 leaves it
	Isolate          bool   // the RDMA device belongs to the pod alone
	IPAM             string
	BySource         bool
}

type input struct {
	Name          string  `json:"name"`
	DeviceID      string  `json:"deviceID"`
	MAC           string  `json:"mac"`
	VLAN          *int    `json:"vlan"`
	VLANQoS       *int    `json:"vlanQoS"`
	VLANProto     *string `json:"vlanProto"`
	MinTxRate     *int    `json:"min_tx_rate"`
	MaxTxRate     *int    `json:"max_tx_rate"`
	SpoofChk      string  `json:"spoofchk"`
	Trust         string  `json:"trust"`
	LinkState     string  `json:"link_state"`
	MTU           *int    `json:"mtu"`
	RDMAIsolation bool    `json:"rdmaIsolation"`
	SourceRoutes  *bool   `json:"sourceRoutes"`
	RuntimeConfig struct {
		MAC string `json:"mac"`
	} `json:"runtimeConfig"`
	IPAM struct {
		Type string `json:"type"`
	} `json:"ipam"`
}

// ParseConfig reads a configuration and CNI_ARGS; its errors carry a code and the field.
func ParseConfig(text []byte, args string) (Config, error) {
	var in input
	if err := plugin.Decode(text, &in); err != nil {
		return Config{}, err
	}
	c := Config{Network: in.Name, Isolate: in.RDMAIsolation, IPAM: in.IPAM.Type, BySource: in.SourceRoutes == nil || *in.SourceRoutes}
	for _, read := range []func(input) error{c.readDevice, c.readVLAN, c.readRates, c.readSwitches} {
		if err := read(in); err != nil {
			return c, err
		}
	}
	return c, c.readMAC(in, args)
}

func (c *Config) readDevice(in input) (err error) {
	if in.DeviceID == "" {
		return plugin.NoDevice()
	}
	if c.Device, err = host.ParsePCI(in.DeviceID); err != nil {
		return plugin.Invalid("deviceID", "%w", err)
	}
	// From the least that IPv4 allows to the most that a header can say; the PF knows better.
	if in.MTU != nil && (*in.MTU < 68 || *in.MTU > 65535) {
		return plugin.Invalid("mtu", "%d is none; write 68 to 65535, or leave it out", *in.MTU)
	} else if in.MTU != nil {
		c.MTU = *in.MTU
	}
	return nil
}

func (c *Config) readVLAN(in input) error {
	if in.VLAN == nil && (in.VLANQoS != nil || in.VLANProto != nil) {
		return plugin.Invalid("vlan", "is missing, but vlanQoS or vlanProto is set; they are about its tag")
	}
	if in.VLAN == nil {
		return nil
	}
	qos, proto := 0, host.VLAN8021Q
	if in.VLANQoS != nil {
		qos = *in.VLANQoS
	}
	if in.VLANProto != nil {
		switch strings.ToLower(*in.VLANProto) {
		case "802.1q":
		case "802.1ad":
			proto = host.VLAN8021AD
		default:
			return plugin.Invalid("vlanProto", "%.20q is none; write 802.1q or 802.1ad", *in.VLANProto)
		}
	}
	switch {
	case *in.VLAN < 0 || *in.VLAN > 4094:
		return plugin.Invalid("vlan", "%d is none; write 1 to 4094, or 0 for no VLAN", *in.VLAN)
	case qos < 0 || qos > 7:
		return plugin.Invalid("vlanQoS", "%d is none; write 0 to 7", qos)
	case *in.VLAN == 0 && (qos != 0 || proto != host.VLAN8021Q):
		return plugin.Invalid("vlan", "is 0, which is no VLAN, but vlanQoS or vlanProto is set; they are about its tag")
	}
	// All three, also where the network gives the VLAN alone: a former priority must not stay.
	c.VLAN, c.QoS, c.Proto = in.VLAN, &qos, &proto
	return nil
}

func (c *Config) readRates(in input) error {
	for field, rate := range map[string]*int{"min_tx_rate": in.MinTxRate, "max_tx_rate": in.MaxTxRate} {
		if rate != nil && (*rate < 0 || *rate > 1<<30) {
			return plugin.Invalid(field, "%d is none; write Mbit/s, or 0 for no limit", *rate)
		}
	}
	// A limit of 0 is none, so it cannot be below the other.
	if in.MinTxRate != nil && in.MaxTxRate != nil && *in.MaxTxRate != 0 && *in.MinTxRate > *in.MaxTxRate {
		return plugin.Invalid("min_tx_rate", "%d is more than max_tx_rate, %d", *in.MinTxRate, *in.MaxTxRate)
	}
	c.MinRate, c.MaxRate = in.MinTxRate, in.MaxTxRate
	return nil
}

func (c *Config) readSwitches(in input) (err error) {
	if c.SpoofCheck, err = onOff("spoofchk", in.SpoofChk); err != nil {
		return err
	}
	if c.Trust, err = onOff("trust", in.Trust); err != nil {
		return err
	}
	if in.LinkState != "" {
		if _, err := host.ParseLinkState(in.LinkState); err != nil {
			return plugin.Invalid("link_state", "%w", err)
		}
	}
	c.LinkState = in.LinkState
	return nil
}

func onOff(field, text string) (*bool, error) {
	switch text {
	case "":
		return nil, nil
	case "on", "off":
		on := text == "on"
		return &on, nil
	}
	return nil, plugin.Invalid(field, "%.20q is neither; write on or off", text)
}

// readMAC takes the first of: the capability, CNI_ARGS, the network.
func (c *Config) readMAC(in input, args string) error {
	arg := ""
	for part := range strings.SplitSeq(args, ";") {
		if mac, ok := strings.CutPrefix(part, "MAC="); ok {
			arg = mac
		}
	}
	for _, from := range []struct{ field, text string }{
		{"runtimeConfig.mac", in.RuntimeConfig.MAC}, {"CNI_ARGS MAC", arg}, {"mac", in.MAC},
	} {
		if from.text == "" {
			continue
		}
		mac, err := host.ParseMAC(from.text)
		if err != nil {
			return plugin.Invalid(from.field, "%w", err)
		}
		c.MAC = &mac
		return nil
	}
	return nil
}

// apply is what a VF becomes that the PF holds as e.
func (c Config) apply(e host.Ethernet) host.Ethernet {
	set(&e.MAC, c.MAC)
	set(&e.VLAN, c.VLAN)
	set(&e.QoS, c.QoS)
	set(&e.Proto, c.Proto)
	set(&e.MinRate, c.MinRate)
	set(&e.MaxRate, c.MaxRate)
	set(&e.SpoofCheck, c.SpoofCheck)
	set(&e.Trust, c.Trust)
	return e
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

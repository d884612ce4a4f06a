//go:build linux

package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// parseVFEthernet reads the attributes of an Ethernet VF. Each is a struct of 32-bit
// integers that begins with the VF's number; only the protocol is in network order.
func parseVFEthernet(attrs []syscall.NetlinkRouteAttr, e *Ethernet) {
	for _, a := range attrs {
		v := a.Value
		at := func(i int) int { return int(binary.NativeEndian.Uint32(v[4*i:])) }
		switch {
		case a.Attr.Type == nl.IFLA_VF_VLAN && len(v) >= 12:
			e.VLAN, e.QoS = at(1), at(2)
		case a.Attr.Type == nl.IFLA_VF_RATE && len(v) >= 12:
			e.MinRate, e.MaxRate = at(1), at(2)
		case a.Attr.Type == nl.IFLA_VF_SPOOFCHK && len(v) >= 8:
			e.SpoofCheck = at(1) == 1 // all ones: the driver does not say
		case a.Attr.Type == nl.IFLA_VF_TRUST && len(v) >= 8:
			e.Trust = at(1) == 1
		case a.Attr.Type == nl.IFLA_VF_VLAN_LIST:
			list, err := nl.ParseRouteAttr(v)
			if err != nil || len(list) == 0 || len(list[0].Value) < 14 {
				continue
			}
			e.Proto = int(binary.BigEndian.Uint16(list[0].Value[12:]))
		}
	}
}

// SetVFEthernet implements VFs.
func (h *Host) SetVFEthernet(_ context.Context, vf VF, to Ethernet) error {
	was, err := h.vfConfig(vf)
	if err != nil {
		return fmt.Errorf("reading what the PF holds for %s: %w", vf, err)
	}
	return h.withPF(vf, func(handle *netlink.Handle, pf netlink.Link) error {
		for _, s := range ethernetSettings(handle, pf, vf.Index, was.Ethernet, to) {
			if !s.differs {
				continue
			}
			if err := s.set(); err != nil {
				return fmt.Errorf("setting %s of %s to %v: %w", s.name, vf, s.value, err)
			}
		}
		return nil
	})
}

type ethernetSetting struct {
	name    string
	value   any
	differs bool
	set     func() error
}

// ethernetSettings are in an order that drivers take: a rate or a check never depends on
// what comes after it.
func ethernetSettings(handle *netlink.Handle, pf netlink.Link, vf int, was, to Ethernet) []ethernetSetting {
	proto := func(e Ethernet) int {
		if e.Proto == 0 || e.VLAN == 0 {
			return VLAN8021Q
		}
		return e.Proto
	}
	vlan := fmt.Sprintf("%d qos %d proto %#x", to.VLAN, to.QoS, proto(to))
	return []ethernetSetting{
		{"vlan", vlan, was.VLAN != to.VLAN || was.QoS != to.QoS || proto(was) != proto(to), func() error {
			return handle.LinkSetVfVlanQosProto(pf, vf, to.VLAN, to.QoS, proto(to))
		}},
		{"mac", to.MAC, was.MAC != to.MAC, func() error { return handle.LinkSetVfHardwareAddr(pf, vf, to.MAC[:]) }},
		{"rate", fmt.Sprintf("%d to %d Mbit/s", to.MinRate, to.MaxRate), was.MinRate != to.MinRate || was.MaxRate != to.MaxRate, func() error {
			return handle.LinkSetVfRate(pf, vf, to.MinRate, to.MaxRate)
		}},
		{"spoofchk", to.SpoofCheck, was.SpoofCheck != to.SpoofCheck, func() error { return handle.LinkSetVfSpoofchk(pf, vf, to.SpoofCheck) }},
		{"trust", to.Trust, was.Trust != to.Trust, func() error { return handle.LinkSetVfTrust(pf, vf, to.Trust) }},
	}
}

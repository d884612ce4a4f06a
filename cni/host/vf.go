//go:build linux

package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/guid"
)

// VFConfig implements VFs.
func (h *Host) VFConfig(_ context.Context, vf VF) (VFConfig, error) {
	config, err := h.vfConfig(vf)
	if err != nil {
		return config, fmt.Errorf("reading what the PF holds for %s: %w", vf, err)
	}
	return config, nil
}

func (h *Host) vfConfig(vf VF) (VFConfig, error) {
	index, err := netdevIndexStable(h.paths.Sysfs, vf.PF)
	if err != nil {
		return VFConfig{}, err
	}
	// Counters of VFs are left out: some drivers ask the firmware for each of them.
	const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	var messages [][]byte
	err = retry(func() (err error) {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(index)
		req.AddData(msg)
		// Without the mask the kernel leaves VFs out altogether.
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(nl.RTEXT_FILTER_VF|skipStats)))
		messages, err = execute(Home, req)
		return err
	})
	if err != nil {
		return VFConfig{}, err
	}
	for _, m := range messages {
		if config, found, err := parseVF(m, vf.Index); err != nil || found {
			return config, err
		}
	}
	return VFConfig{}, fmt.Errorf("the PF's netdev does not list it: %w", ErrNotFound)
}

// parseVF finds a VF in the answer to RTM_GETLINK. The netlink library reads neither GUID.
func parseVF(message []byte, index int) (VFConfig, bool, error) {
	if len(message) < unix.SizeofIfInfomsg {
		return VFConfig{}, false, errors.New("the kernel's answer is cut off")
	}
	attrs, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return VFConfig{}, false, err
	}
	for _, attr := range attrs {
		if attr.Attr.Type&^unix.NLA_F_NESTED != unix.IFLA_VFINFO_LIST {
			continue
		}
		vfs, err := nl.ParseRouteAttr(attr.Value)
		if err != nil {
			return VFConfig{}, false, err
		}
		for _, vf := range vfs {
			if config, number, err := parseVFInfo(vf.Value); err != nil || number == index {
				return config, true, err
			}
		}
	}
	return VFConfig{}, false, nil
}

// parseVFInfo reads one VF. Each attribute begins with the VF's number; a GUID follows
// at byte 8 as an integer in the machine's order (struct ifla_vf_guid).
func parseVFInfo(info []byte) (config VFConfig, number int, err error) {
	attrs, err := nl.ParseRouteAttr(info)
	if err != nil {
		return config, 0, err
	}
	number = -1
	infiniband := false
	for _, a := range attrs {
		switch v := a.Value; {
		case a.Attr.Type == nl.IFLA_VF_MAC && len(v) >= 10:
			number = int(binary.NativeEndian.Uint32(v))
			config.Ethernet.MAC = MAC(v[4:10])
		case a.Attr.Type == nl.IFLA_VF_LINK_STATE && len(v) >= 8:
			config.LinkState = LinkState(binary.NativeEndian.Uint32(v[4:]))
		case a.Attr.Type == nl.IFLA_VF_IB_NODE_GUID && len(v) >= 16:
			infiniband = true // no other driver has GUIDs to tell
			config.NodeGUID = guid.GUID(binary.NativeEndian.Uint64(v[8:]))
		case a.Attr.Type == nl.IFLA_VF_IB_PORT_GUID && len(v) >= 16:
			config.PortGUID = guid.GUID(binary.NativeEndian.Uint64(v[8:]))
		}
	}
	// The kernel fills in an Ethernet VF's settings for an InfiniBand one, too: as the MAC the
	// first bytes of the PF's own address, which change with its queue pair.
	if infiniband {
		config.Ethernet = Ethernet{}
		return config, number, nil
	}
	parseVFEthernet(attrs, &config.Ethernet)
	return config, number, nil
}

// SetVFGUID implements VFs.
func (h *Host) SetVFGUID(_ context.Context, vf VF, node, port guid.GUID) error {
	err := h.withPF(vf, func(handle *netlink.Handle, pf netlink.Link) error {
		// Two requests, as the kernel takes one GUID at a time; the undo sets both again.
		if err := handle.LinkSetVfGUID(pf, vf.Index, wire(node), nl.IFLA_VF_IB_NODE_GUID); err != nil {
			return err
		}
		return handle.LinkSetVfGUID(pf, vf.Index, wire(port), nl.IFLA_VF_IB_PORT_GUID)
	})
	if err != nil {
		return fmt.Errorf("setting the GUIDs of %s to %s and %s: %w", vf, node, port, err)
	}
	return nil
}

// SetVFLinkState implements VFs.
func (h *Host) SetVFLinkState(_ context.Context, vf VF, state LinkState) error {
	err := h.withPF(vf, func(handle *netlink.Handle, pf netlink.Link) error {
		return handle.LinkSetVfState(pf, vf.Index, uint32(state))
	})
	if err != nil {
		return fmt.Errorf("setting the link state of %s to %s: %w", vf, state, err)
	}
	return nil
}

func (h *Host) withPF(vf VF, f func(*netlink.Handle, netlink.Link) error) error {
	index, err := netdevIndexStable(h.paths.Sysfs, vf.PF)
	if err != nil {
		return err
	}
	return h.netlinkAt(Home, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		return f(handle, linkAt(index))
	})
}

// wire is a GUID as bytes, the most significant first.
func wire(g guid.GUID) net.HardwareAddr {
	return binary.BigEndian.AppendUint64(nil, uint64(g))
}

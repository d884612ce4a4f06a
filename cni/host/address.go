//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"net"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure implements Addresses.
func (h *Host) Configure(_ context.Context, n NetNS, name string, result *types100.Result) error {
	// On a thread that goes there: the library asks netlink and sysctl of where it is.
	err := ns.WithNetNSPath(string(n), func(ns.NetNS) error { return ipam.ConfigureIface(name, result) })
	if err != nil {
		return fmt.Errorf("giving %s in %s its addresses and routes: %w", name, n, err)
	}
	return nil
}

// Configured implements Addresses.
func (h *Host) Configured(_ context.Context, n NetNS, name string, result *types100.Result, bySource bool) error {
	err := h.netlinkAt(n, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		link, err := handle.LinkByName(name)
		if err != nil {
			return err
		}
		var missing []error
		for _, ip := range result.IPs {
			missing = append(missing, hasAddress(handle, link, ip.Address))
			if bySource {
				missing = append(missing, hasRule(handle, link, ip.Address))
			}
		}
		return errors.Join(missing...)
	})
	if err != nil {
		return fmt.Errorf("addresses of %s in %s: %w", name, n, gone(err))
	}
	return nil
}

func hasAddress(handle *netlink.Handle, link netlink.Link, want net.IPNet) error {
	addrs, err := handle.AddrList(link, family(want.IP))
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a.IP.Equal(want.IP) && a.Mask.String() == want.Mask.String() {
			return nil
		}
	}
	return fmt.Errorf("%s is missing", want.String())
}

// Rules of the program are known by their priority, and tables by their netdev's index.
// Rules that another plugin adds without a priority come before them.
const (
	sourcePriority = 32000
	sourceTable    = 10000
)

func hasRule(handle *netlink.Handle, link netlink.Link, from net.IPNet) error {
	rules, err := sourceRules(handle, family(from.IP))
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Src != nil && r.Src.IP.Equal(from.IP) && r.Table == sourceTable+link.Attrs().Index {
			return nil
		}
	}
	return fmt.Errorf("the rule for packets from %s is missing", from.IP)
}

// sourceRules are none of a family that the kernel lacks.
func sourceRules(handle *netlink.Handle, family int) ([]netlink.Rule, error) {
	rules, err := handle.RuleListFiltered(family, &netlink.Rule{Priority: sourcePriority}, netlink.RT_FILTER_PRIORITY)
	if lacksFamily(err) {
		return nil, nil
	}
	return rules, err
}

// lacksFamily reports whether an error says that the kernel has no such rules or routes at
// all: booted with ipv6.disable=1, or built without policy routing of the family.
func lacksFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

func family(ip net.IP) int {
	if ip.To4() != nil {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"net"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HasDefaultRoute implements Addresses.
func (h *Host) HasDefaultRoute(_ context.Context, n NetNS, v6 bool) (found bool, err error) {
	family := netlink.FAMILY_V4
	if v6 {
		family = netlink.FAMILY_V6
	}
	err = h.netlinkAt(n, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		found = false
		routes, err := handle.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		for _, r := range routes {
			found = found || r.Type == unix.RTN_UNICAST && (r.Dst == nil || isDefault(*r.Dst))
		}
		if lacksFamily(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reading the routes of %s: %w", n, err)
	}
	return found, nil
}

func isDefault(dst net.IPNet) bool {
	ones, _ := dst.Mask.Size()
	return ones == 0 && dst.IP.IsUnspecified()
}

// RouteBySource implements Addresses.
func (h *Host) RouteBySource(_ context.Context, n NetNS, name string, result *types100.Result) error {
	err := h.netlinkAt(n, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		link, err := handle.LinkByName(name)
		if err != nil {
			return err
		}
		// The kernel takes the same rule twice, and removes one at a time.
		if err := dropRules(handle, link.Attrs().Index); err != nil {
			return err
		}
		for _, r := range sourceRoutes(link.Attrs().Index, result) {
			// Replaced, not added: a killed ADD may have left it.
			if err := handle.RouteReplace(&r); err != nil {
				return fmt.Errorf("route %s: %w", r, err)
			}
		}
		for _, ip := range result.IPs {
			if err := handle.RuleAdd(sourceRule(link.Attrs().Index, ip.Address.IP)); err != nil {
				return fmt.Errorf("rule for %s: %w", ip.Address.IP, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("routing by the addresses of %s in %s: %w", name, n, gone(err))
	}
	return nil
}

// sourceRoutes are the content of a netdev's own table, what others go through first.
func sourceRoutes(index int, result *types100.Result) []netlink.Route {
	var routes []netlink.Route
	gateways := map[int]net.IP{}
	for _, ip := range result.IPs {
		subnet := net.IPNet{IP: ip.Address.IP.Mask(ip.Address.Mask), Mask: ip.Address.Mask}
		r := netlink.Route{LinkIndex: index, Table: sourceTable + index, Dst: &subnet}
		if family(ip.Address.IP) == netlink.FAMILY_V4 {
			// As the kernel's own route of the subnet. Of IPv6 it has neither.
			r.Src, r.Scope = ip.Address.IP, netlink.SCOPE_LINK
		}
		routes = append(routes, r)
		if f := family(ip.Address.IP); ip.Gateway != nil && gateways[f] == nil {
			gateways[f] = ip.Gateway
		}
	}
	for f, gw := range gateways {
		all := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
		if f == netlink.FAMILY_V6 {
			all = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		routes = append(routes, netlink.Route{LinkIndex: index, Table: sourceTable + index, Dst: &all, Gw: gw})
	}
	for _, r := range result.Routes {
		gw := r.GW
		if gw == nil {
			gw = gateways[family(r.Dst.IP)]
		}
		routes = append(routes, netlink.Route{LinkIndex: index, Table: sourceTable + index, Dst: &r.Dst, Gw: gw})
	}
	return routes
}

func sourceRule(index int, from net.IP) *netlink.Rule {
	bits := 128
	if v4 := from.To4(); v4 != nil {
		from, bits = v4, 32
	}
	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.Table = family(from), sourcePriority, sourceTable+index
	rule.Src = &net.IPNet{IP: from, Mask: net.CIDRMask(bits, bits)}
	return rule
}

// UnrouteBySource implements Addresses.
func (h *Host) UnrouteBySource(_ context.Context, n NetNS, index int) error {
	err := h.netlinkAt(n, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		return dropRules(handle, index)
	})
	if err != nil {
		return fmt.Errorf("removing the rules for the addresses of netdev %d in %s: %w", index, n, err)
	}
	return nil
}

// dropRules removes the rules of one netdev, and of those that are not there any more.
func dropRules(handle *netlink.Handle, index int) error {
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := sourceRules(handle, f)
		if err != nil {
			return err
		}
		for _, r := range rules {
			i := r.Table - sourceTable
			if i <= 0 || i != index && hasLink(handle, i) {
				continue // no table of ours, or of a netdev that is still there
			}
			r.Family = f
			if err := handle.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return nil
}

func hasLink(handle *netlink.Handle, index int) bool {
	_, err := handle.LinkByIndex(index)
	var missing netlink.LinkNotFoundError
	return !errors.As(err, &missing) // whatever else went wrong, its rule stays
}

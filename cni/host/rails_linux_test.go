package host

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// podOfTheGuide is a pod as Spiderpool's guide for AI clusters shows one: eth0 of the
// cluster's network, with the default route by Calico's next hop, and eight rails.
func podOfTheGuide(t *testing.T) NetNS {
	t.Helper()
	pod := newNetNS(t)
	inside(t, pod, func() error {
		for i := range 9 {
			name := fmt.Sprintf("net%d", i)
			if i == 0 {
				name = "eth0"
			}
			err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"})
			for _, end := range []string{name, name + "p"} {
				if link, err2 := netlink.LinkByName(end); err == nil {
					err = errors.Join(err2, netlink.LinkSetUp(link))
				}
			}
			if err != nil {
				return err
			}
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		address, hop := "10.233.119.164/32", net.IPv4(169, 254, 1, 1)
		own, err := netlink.ParseAddr(address)
		return errors.Join(err, netlink.AddrAdd(eth0, own),
			netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: &net.IPNet{IP: hop, Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK}),
			netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: hop}))
	})
	return pod
}

// The guide shows rules and tables that contradict each other: an address in another card's
// table, and one card's route in a table of the next. What it promises is this.
func TestEachRailOfAPodAnswersByItselfAndEth0KeepsTheRest(t *testing.T) {
	const world, cluster, eth0 = "192.0.2.1", "10.233.0.1", "10.233.119.164"
	ctx, h, pod := t.Context(), New(Paths{}), podOfTheGuide(t)
	address := func(i int) string { return fmt.Sprintf("172.16.%d.10", 10+i) }
	gateway := func(i int) string { return fmt.Sprintf("172.16.%d.254", 10+i) }
	for i := 1; i <= 8; i++ {
		name := fmt.Sprintf("net%d", i)
		r := result(name, address(i)+"/24", gateway(i))
		r.Routes = nil // the pod has a default route: the plugin leaves the rail's to its own table
		if err := errors.Join(h.Configure(ctx, pod, name, r), h.RouteBySource(ctx, pod, name, result(name, address(i)+"/24", gateway(i)))); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= 8; i++ {
		name := fmt.Sprintf("net%d", i)
		if by := leavesBy(t, pod, world, address(i)); by != name+" "+gateway(i) {
			t.Errorf("packets from %s leave by %s", address(i), by)
		}
		// Between the rails of two nodes a packet stays on its subnet.
		if by := leavesBy(t, pod, fmt.Sprintf("172.16.%d.11", 10+i), address(i)); by != name+" <nil>" {
			t.Errorf("packets from %s to its own subnet leave by %s", address(i), by)
		}
	}
	for _, to := range []string{world, cluster} {
		for _, from := range []string{"", eth0} {
			if by := leavesBy(t, pod, to, from); by != "eth0 169.254.1.1" {
				t.Errorf("packets from %q to %s leave by %s", from, to, by)
			}
		}
	}
	inside(t, pod, func() error { return eachRailHasATable(t) })
	for i := 1; i <= 8; i++ {
		if err := h.UnrouteBySource(ctx, pod, indexOf(t, pod, fmt.Sprintf("net%d", i))); err != nil {
			t.Error(err)
		}
	}
	if by := leavesBy(t, pod, world, address(3)); by != "eth0 169.254.1.1" {
		t.Errorf("when the rules are gone packets leave by %s", by)
	}
}

// eachRailHasATable wants a rule for each rail's address, and in its table that rail alone.
func eachRailHasATable(t *testing.T) error {
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	var tables []int
	for _, r := range rules {
		if r.Priority != sourcePriority {
			continue
		}
		tables = append(tables, r.Table)
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: r.Table}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		links := map[int]bool{}
		for _, route := range routes {
			links[route.LinkIndex] = true
		}
		if len(links) != 1 || len(routes) < 2 {
			t.Errorf("table %d of %s has the routes %v", r.Table, r.Src, routes)
		}
	}
	slices.Sort(tables)
	if len(slices.Compact(tables)) != 8 {
		t.Errorf("the rules lead to tables %v, want eight", tables)
	}
	return nil
}

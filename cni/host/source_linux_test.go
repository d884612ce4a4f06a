package host

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// railsIn puts netdevs net1 and net2 into a namespace, raised, their peers beside them.
func railsIn(t *testing.T) NetNS {
	t.Helper()
	pod := newNetNS(t)
	inside(t, pod, func() error {
		for _, name := range []string{"net1", "net2"} {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}); err != nil {
				return err
			}
			for _, end := range []string{name, name + "p"} {
				link, err := netlink.LinkByName(end)
				if err := errors.Join(err, netlink.LinkSetUp(link)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return pod
}

// result is an IPAM's answer with a default route.
func result(name, address, gateway string) *types100.Result {
	ip, subnet, err := net.ParseCIDR(address)
	if err != nil {
		panic(err)
	}
	subnet.IP = ip
	all := net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if ip.To4() == nil {
		all = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	first := 0
	return &types100.Result{
		Interfaces: []*types100.Interface{{Name: name}},
		IPs:        []*types100.IPConfig{{Address: *subnet, Gateway: net.ParseIP(gateway), Interface: &first}},
		Routes:     []*types.Route{{Dst: all}},
	}
}

// leavesBy is the netdev and the gateway through which a packet to the world leaves.
func leavesBy(t *testing.T, pod NetNS, to, from string) (by string) {
	t.Helper()
	inside(t, pod, func() error {
		routes, err := netlink.RouteGetWithOptions(net.ParseIP(to), &netlink.RouteGetOptions{SrcAddr: net.ParseIP(from)})
		if err != nil {
			return err
		}
		link, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err == nil {
			by = link.Attrs().Name + " " + routes[0].Gw.String()
		}
		return err
	})
	return by
}

func TestWhatIsAskedThroughARailIsAnsweredThroughIt(t *testing.T) {
	for family, c := range map[string]struct{ first, second, gw1, gw2, world string }{
		"IPv4": {"10.1.0.5/24", "10.2.0.5/24", "10.1.0.254", "10.2.0.254", "192.0.2.1"},
		"IPv6": {"fd00:1::5/64", "fd00:2::5/64", "fd00:1::fe", "fd00:2::fe", "2001:db8::1"},
	} {
		t.Run(family, func(t *testing.T) {
			ctx, h, pod := t.Context(), New(Paths{}), railsIn(t)
			r1, r2 := result("net1", c.first, c.gw1), result("net2", c.second, c.gw2)
			v6 := family == "IPv6"
			if has, err := h.HasDefaultRoute(ctx, pod, v6); has || err != nil {
				t.Errorf("a default route before there is one: %t, %v", has, err)
			}
			if err := h.Configure(ctx, pod, "net1", r1); err != nil {
				t.Fatal(err)
			}
			if has, err := h.HasDefaultRoute(ctx, pod, v6); !has || err != nil {
				t.Errorf("the default route is not seen: %t, %v", has, err)
			}
			without := *r2
			without.Routes = nil
			if err := h.Configure(ctx, pod, "net2", &without); err != nil {
				t.Fatal(err)
			}
			from := r2.IPs[0].Address.IP.String()
			if by := leavesBy(t, pod, c.world, from); by != "net1 "+c.gw1 {
				t.Errorf("without rules packets from %s leave by %s: this test proves nothing", from, by)
			}
			if err := h.Configured(ctx, pod, "net2", r2, true); err == nil || !strings.Contains(err.Error(), "rule for packets from") {
				t.Errorf("without rules Configured says %v", err)
			}
			for range 2 { // what a death left is made again
				if err := errors.Join(h.RouteBySource(ctx, pod, "net1", r1), h.RouteBySource(ctx, pod, "net2", r2)); err != nil {
					t.Fatal(err)
				}
			}
			if by := leavesBy(t, pod, c.world, from); by != "net2 "+c.gw2 {
				t.Errorf("packets from %s leave by %s", from, by)
			}
			if by := leavesBy(t, pod, c.world, ""); by != "net1 "+c.gw1 {
				t.Errorf("the pod's default route is now by %s", by)
			}
			if err := errors.Join(h.Configured(ctx, pod, "net1", r1, true), h.Configured(ctx, pod, "net2", r2, true)); err != nil {
				t.Error(err)
			}
			if err := h.UnrouteBySource(ctx, pod, indexOf(t, pod, "net2")); err != nil {
				t.Fatal(err)
			}
			if by := leavesBy(t, pod, c.world, from); by != "net1 "+c.gw1 {
				t.Errorf("after the rules are gone packets leave by %s", by)
			}
			if err := h.Configured(ctx, pod, "net1", r1, true); err != nil {
				t.Errorf("the other rail lost its rule: %v", err)
			}
		})
	}
}

func TestTheRulesOfANetdevThatIsGoneGoWithTheNextOne(t *testing.T) {
	ctx, h, pod := t.Context(), New(Paths{}), railsIn(t)
	r1, r2 := result("net1", "10.1.0.5/24", "10.1.0.254"), result("net2", "10.2.0.5/24", "10.2.0.254")
	if err := errors.Join(h.Configure(ctx, pod, "net1", r1), h.RouteBySource(ctx, pod, "net1", r1)); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteNetdev(ctx, pod, indexOf(t, pod, "net1")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Configure(ctx, pod, "net2", r2), h.RouteBySource(ctx, pod, "net2", r2)); err != nil {
		t.Fatal(err)
	}
	rules := func() (from []string) {
		t.Helper()
		inside(t, pod, func() error {
			rules, err := netlink.RuleList(netlink.FAMILY_V4)
			for _, r := range rules {
				if r.Priority == sourcePriority {
					from = append(from, r.Src.String())
				}
			}
			return err
		})
		return from
	}
	if ours := rules(); len(ours) != 1 || ours[0] != "10.2.0.5/32" {
		t.Errorf("rules for %v, want that of the netdev which is there", ours)
	}
	foreign := sourceRule(0, net.IPv4(10, 9, 0, 1)) // somebody else's table
	inside(t, pod, func() error { return netlink.RuleAdd(foreign) })
	if err := h.UnrouteBySource(ctx, pod, 0); err != nil {
		t.Errorf("of no netdev: %v", err)
	}
	if left := rules(); len(left) != 2 {
		t.Errorf("rules for %v, want the netdev's that is there, and the foreign one", left)
	}
	if err := h.UnrouteBySource(ctx, "/var/run/netns/never-was", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("in a namespace that never was: %v", err)
	}
}

// A kernel without IPv6 answers as every kernel does about a family that it never had.
func TestAFamilyThatTheKernelLacksHasNoRules(t *testing.T) {
	const decnet = 12
	err := New(Paths{}).netlinkAt(newNetNS(t), unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		if _, err := handle.RuleList(decnet); !errors.Is(err, unix.EAFNOSUPPORT) {
			t.Errorf("the kernel says %v: this test proves nothing", err)
		}
		rules, err := sourceRules(handle, decnet)
		if len(rules) > 0 {
			t.Errorf("it has %v", rules)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if lacksFamily(nil) || lacksFamily(unix.EPERM) || !lacksFamily(unix.EOPNOTSUPP) {
		t.Error("any error, or none, is taken for a family that is not there")
	}
}

func TestANetdevGetsItsMTUAndItsAddress(t *testing.T) {
	ctx, h, pod := t.Context(), New(Paths{}), railsIn(t)
	index := indexOf(t, pod, "net1")
	want := MAC{0x02, 0, 0, 0, 0, 7}
	if err := errors.Join(h.SetNetdevMTU(ctx, pod, index, 1300), h.SetNetdevAddr(ctx, pod, index, want)); err != nil {
		t.Fatal(err)
	}
	inside(t, pod, func() error {
		link, err := netlink.LinkByName("net1")
		if err == nil && (link.Attrs().MTU != 1300 || link.Attrs().HardwareAddr.String() != want.String()) {
			t.Errorf("got %+v", link.Attrs())
		}
		return err
	})
	for _, err := range []error{h.SetNetdevMTU(ctx, pod, 9999, 1300), h.SetNetdevAddr(ctx, pod, 9999, want)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("of a netdev that is not there: %v", err)
		}
	}
}

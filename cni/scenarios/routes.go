package scenarios

import (
	"context"
	"testing"

	"github.com/ibfabric/ibfabric/guid"
)

// rail is interface number i of a container with several.
func (n *node) rail(id string, i int) *pod {
	p := n.pod(id, i, guid.GUID(0x0200000000000100+i))
	p.ifname = []string{"net1", "net2", "net3", "net4", "net5", "net6", "net7", "net8"}[i]
	if i > 0 {
		p.ns = n.rails[id]
	}
	n.rails[id] = p.ns
	return p
}

// DefaultRoute is a pod with two rails, each of whose IPAM would give it a default route.
func DefaultRoute(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	first, second := n.rail("c1", 0), n.rail("c1", 1)
	hasDefault := func(when string, want bool) {
		t.Helper()
		if has, err := lab.Kernel().HasDefaultRoute(context.Background(), first.ns, false); err != nil || has != want {
			t.Errorf("%s: a default route: %t, %v, want %t", when, has, err, want)
		}
	}
	hasDefault("at first", false)
	n.mustAdd(first)
	n.mustAdd(second)
	hasDefault("after ADD", true)
	for _, p := range []*pod{first, second} {
		if err := lab.Kernel().Configured(context.Background(), p.ns, p.ifname, p.result, true); err != nil {
			t.Error(err)
		}
	}
	n.mustDel(first)
	hasDefault("when the first is gone", false) // the second's is in its own table only
	if err := lab.Kernel().Configured(context.Background(), second.ns, second.ifname, second.result, true); err != nil {
		t.Errorf("the other's DEL took it: %v", err)
	}
	n.mustDel(second)
	n.untouched("after DEL")
}

// NoSourceRoutes is a pod whose chain has sbr, or whose network wants none, and one that
// has no address.
func NoSourceRoutes(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	for _, p := range []*pod{n.pod("c1", 0, 0x0200000000000100).with("sourceRoutes", false), n.pod("c2", 1, 0x0200000000000200).with("ipam", nil)} {
		for _, verb := range n.rehearse(func() { n.mustAdd(p) }) {
			if verb == "RouteBySource" {
				t.Errorf("%s: %s was called", p.id, verb)
			}
		}
		if err := n.check(p); err != nil {
			t.Errorf("%s: CHECK says %v", p.id, err)
		}
		n.mustDel(p)
	}
	n.untouched("after DEL")
}

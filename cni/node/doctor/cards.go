package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
)

func noCards(n Node) bool { return n.Cards.Err == nil && len(n.Cards.Value) == 0 }

func hasInfiniBand(n Node) bool {
	return slices.ContainsFunc(n.Cards.Value, node.Card.InfiniBand)
}

// serves reports whether pods get interfaces of the card. Where no card has VFs yet, all
// may be meant to.
func serves(n Node, c node.Card) bool {
	return len(c.VFs) > 0 || !slices.ContainsFunc(n.Cards.Value, func(c node.Card) bool { return len(c.VFs) > 0 })
}

// unless is a mend for a card that serves pods, and information about one that does not:
// many nodes have a card for storage or management besides.
func unless(n Node, c node.Card) State {
	if serves(n, c) {
		return Mend
	}
	return Info
}

// list names a few of many.
func list[T fmt.Stringer](items []T) string {
	var names []string
	for i, item := range items {
		if i == 8 {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(items)-i)
		}
		names = append(names, item.String())
	}
	return strings.Join(names, ", ")
}

// short is the address as lspci and mlxconfig take it, without the usual domain.
func short(pci host.PCI) string { return strings.TrimPrefix(string(pci), "0000:") }

func cards(n Node, _ Want) []Row {
	if n.Cards.Err != nil {
		return []Row{unreadable("the PCI bus", n.Cards.Err)}
	}
	if noCards(n) {
		return one(Mend, "no InfiniBand or RoCE card on the PCI bus",
			"lspci -nn | grep -i -e mellanox -e infiniband",
			"# none listed: this machine has no card, or its host does not pass one through")
	}
	var found []Row
	var seen []string
	for _, c := range n.Cards.Value {
		seen = append(seen, string(c.PCI))
		switch {
		case c.Err != nil:
			found = append(found, unreadable(string(c.PCI), c.Err))
		case c.Driver == "":
			found = append(found, row(unless(n, c), string(c.PCI)+" has no driver", "modprobe mlx5_core", fmt.Sprintf("echo %s > /sys/bus/pci/drivers_probe", c.PCI)))
		case len(c.Ports) == 0:
			found = append(found, row(unless(n, c), fmt.Sprintf("%s has driver %s, but no RDMA device", c.PCI, c.Driver),
				"modprobe mlx5_ib", "# nothing to mend on the second port of a bond: both have one device"))
		}
	}
	return allOr(found, fmt.Sprintf("%d: %s", len(seen), strings.Join(seen, ", ")))
}

// onPort is a port with its card.
type onPort struct {
	node.Port
	card node.Card
}

// portsOf lists the ports that could be read; those that could not are for ports.
func portsOf(n Node) (list []onPort) {
	for _, c := range n.Cards.Value {
		for _, p := range c.Ports {
			if p.Err == nil {
				list = append(list, onPort{p, c})
			}
		}
	}
	return list
}

// linkLayer holds against the networks only ports whose VFs pods get; where none has the
// wanted kind at all, any card may be the one that was meant.
func linkLayer(n Node, want Want) []Row {
	all := portsOf(n)
	if len(all) == 0 {
		return nil
	}
	var found []Row
	for _, p := range all {
		if len(want.Layers) > 0 && len(p.card.VFs) > 0 && !slices.Contains(want.Layers, p.Layer) {
			found = append(found, wrongLayer(p, want.Layers[0]))
		}
	}
	for _, layer := range want.Layers {
		if len(found) == 0 && !slices.ContainsFunc(all, func(p onPort) bool { return p.Layer == layer }) {
			found = append(found, wrongLayer(all[0], layer))
		}
	}
	var seen []string
	for _, layer := range []string{node.InfiniBand, node.Ethernet} {
		if of := slices.DeleteFunc(slices.Clone(all), func(p onPort) bool { return p.Layer != layer }); len(of) > 0 {
			seen = append(seen, layer+" on "+list(of))
		}
	}
	if len(want.Layers) == 0 {
		return one(Info, strings.Join(seen, "; "), "# --config or --link-layer says what it is to be")
	}
	return allOr(found, strings.Join(seen, "; "))
}

func wrongLayer(p onPort, want string) Row {
	kind := map[string]int{node.InfiniBand: 1, node.Ethernet: 2}[want]
	address := short(p.card.PCI)
	return row(Mend, fmt.Sprintf("%s is %s, networks are for %s", p.Port, p.Layer, want),
		"mst start; mlxconfig -d "+address+" q | grep LINK_TYPE",
		fmt.Sprintf("mlxconfig -y -d %s set LINK_TYPE_P%d=%d", address, p.Number, kind),
		"# then turn the power off and on; a card without LINK_TYPE can be the one kind only")
}

// ports looks at the link only: a port that waits for its subnet manager is up, so that a
// fabric without one is one finding and not two.
func ports(n Node, _ Want) []Row {
	var found []Row
	count := 0
	for _, c := range n.Cards.Value {
		for _, p := range c.Ports {
			count++
			switch {
			case p.Err != nil:
				found = append(found, unreadable("port "+p.String(), p.Err))
			case p.State <= host.PortDown:
				found = append(found, down(n, c, p))
			}
		}
	}
	if count == 0 {
		return nil
	}
	return allOr(found, "up: "+list(portsOf(n)))
}

// down has another mend for RoCE, whose port is down as long as its netdev is.
func down(n Node, c node.Card, p node.Port) Row {
	seen := fmt.Sprintf("%s is %s (%s)", p, p.State, p.Physical)
	if p.Layer == node.Ethernet {
		return row(unless(n, c), seen, fmt.Sprintf("ip link set dev %s up", c.Netdev), "# still down: look at the cable and at the switch")
	}
	return row(unless(n, c), seen, fmt.Sprintf("ibstat %s %d", p.RDMA, p.Number),
		"# Polling: no link; look at the cable and at the switch's port. Disabled: enable it in UFM")
}

// subnetManager judges by what the manager gave the port: it alone makes a port ACTIVE and
// gives it a LID. One that stopped since leaves all this in place, and is not noticed here.
func subnetManager(n Node, _ Want) []Row {
	var found []Row
	up := slices.DeleteFunc(portsOf(n), func(p onPort) bool {
		return p.Layer != node.InfiniBand || p.State <= host.PortDown
	})
	if len(up) == 0 {
		return nil
	}
	for _, p := range up {
		if p.State == host.PortActive && p.LID != 0 && p.SMLID != 0 {
			continue
		}
		manager := "has heard of no subnet manager"
		if p.SMLID != 0 {
			manager = fmt.Sprintf("the subnet manager is at LID %d", p.SMLID)
		}
		found = append(found, row(unless(n, p.card), fmt.Sprintf("%s is %s with LID %d, %s", p.Port, p.State, p.LID, manager),
			fmt.Sprintf("sminfo -C %s -P %d", p.RDMA, p.Number), "# no answer: start UFM or opensm on this fabric"))
	}
	return allOr(found, fmt.Sprintf("at LID %d, seen from %s", up[0].SMLID, list(up)))
}

// pkeys looks at the PFs: a ConnectX has 128 entries a port, and the kernel offers no more.
func pkeys(n Node, _ Want) []Row {
	var found []Row
	var fullest node.Port
	for _, p := range portsOf(n) {
		if p.Layer != node.InfiniBand || p.Room == 0 {
			continue
		}
		if p.PKeys > fullest.PKeys || fullest.Room == 0 {
			fullest = p.Port
		}
		if p.PKeys == p.Room {
			found = append(found, row(unless(n, p.card), fmt.Sprintf("%s: all %d entries are in use; further partitions do not come", p.Port, p.Room),
				fmt.Sprintf("grep -h . /sys/class/infiniband/%s/ports/%d/pkeys/*", p.RDMA, p.Number),
				"# take the node out of partitions that it does not need, in UFM"))
		}
	}
	if fullest.Room == 0 {
		return nil
	}
	return allOr(found, fmt.Sprintf("at most %d of %d entries in use (%s)", fullest.PKeys, fullest.Room, fullest))
}

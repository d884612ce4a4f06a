package doctor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/guid"
)

// vfs proposes a dozen for a card, as the guide does; how many pods share it nobody knows here.
func vfs(n Node, _ Want) []Row {
	var found []Row
	var seen []string
	for _, c := range n.Cards.Value {
		switch {
		case c.Err != nil: // cards says so
		case c.MaxVFs == 0:
			found = append(found, row(unless(n, c), string(c.PCI)+": firmware or BIOS has SR-IOV off",
				fmt.Sprintf("mlxconfig -y -d %s set SRIOV_EN=1 NUM_OF_VFS=16", short(c.PCI)), "# and SR-IOV in the BIOS; then reboot"))
		case len(c.VFs) == 0:
			found = append(found, row(unless(n, c), fmt.Sprintf("%s: none of %d VFs", c.PCI, c.MaxVFs),
				fmt.Sprintf("echo %d > /sys/bus/pci/devices/%s/sriov_numvfs", min(c.MaxVFs, 12), c.PCI),
				"# or, to last: numVfs in the card's SriovNetworkNodePolicy"))
		default:
			seen = append(seen, fmt.Sprintf("%s %d of %d", c.PCI, len(c.VFs), c.MaxVFs))
		}
	}
	if len(seen) > 0 {
		found = append(found, row(OK, strings.Join(seen, ", ")))
	}
	return found
}

// vfDrivers takes any driver: vfio-pci is right for virtual machines. A VF without one is
// what a failed bind leaves, and no pod can use it.
func vfDrivers(n Node, _ Want) []Row {
	var found []Row
	drivers := map[string]int{}
	for _, c := range n.Cards.Value {
		for _, v := range c.VFs {
			drivers[v.Driver]++
			if v.Driver == "" {
				found = append(found, row(Mend, fmt.Sprintf("VF %d of %s (%s) has none", v.Index, c.PCI, v.PCI),
					fmt.Sprintf("echo %s > /sys/bus/pci/drivers_probe", v.PCI)))
			}
		}
	}
	if len(drivers) == 0 {
		return nil
	}
	var seen []string
	for _, driver := range slices.Sorted(maps.Keys(drivers)) {
		seen = append(seen, fmt.Sprintf("%d with %s", drivers[driver], driver))
	}
	return allOr(found, strings.Join(seen, ", "))
}

// vfGUIDs reads them through the PF, so VFs inside pods count as well. GUIDs that two VFs
// share break both on the fabric.
func vfGUIDs(n Node, want Want) []Row {
	var found []Row
	holders := map[guid.GUID][]node.VF{}
	for _, c := range n.Cards.Value {
		if !c.InfiniBand() {
			continue
		}
		for _, v := range c.VFs {
			if v.HasGUID() {
				holders[v.GUID()] = append(holders[v.GUID()], v)
			}
		}
		found = append(found, withoutGUID(n, c, want)...)
	}
	for _, g := range slices.Sorted(maps.Keys(holders)) {
		if of := holders[g]; len(of) > 1 {
			found = append(found, row(Mend, fmt.Sprintf("%s is the GUID of both %s and %s", g, of[0].PCI, of[1].PCI),
				"# give one of them another, as the SR-IOV operator does; the fabric knows each only once"))
		}
	}
	if len(found) == 0 && len(holders) == 0 {
		return nil
	}
	return allOr(found, fmt.Sprintf("%d VFs have one", len(holders)))
}

// proposal makes a VF's GUID of its card's, as vendors' scripts do: the bytes that tell cards
// apart, and the VF's number where vendors have the same two bytes in each (03:00, ff:fe). Two
// bits of the first say that no vendor gave it (EUI-64), and keep it out of the controller's
// usual range, which begins with 02: whatever is pasted on many nodes must be unique on all.
func proposal(c node.Card, v node.VF) string {
	if !c.GUID.IsValid() {
		return "# G: eight bytes that no port of the fabric has, and no controller gives"
	}
	g := c.GUID&^(0xffff<<24) | guid.GUID(v.Index+1)<<24 | 0x06<<56
	return fmt.Sprintf("G=%s # made of the card's own GUID and the VF's number", g)
}

// silent reports whether the kernel does not tell the GUIDs that PFs hold. OFED's drivers may.
func silent(n Node) bool {
	return n.Release.Err == nil && !atLeast(n.Release.Value, 5, 5) && n.OFED == ""
}

func withoutGUID(n Node, c node.Card, want Want) []Row {
	var bare []node.VF
	for _, v := range c.VFs {
		switch {
		case errors.Is(v.Config.Err, host.ErrNotFound):
			return one(Mend, fmt.Sprintf("%s has no IPoIB netdev, through which its VFs get theirs", c.PCI), "modprobe ib_ipoib")
		case v.Config.Err != nil:
			return []Row{unreadable("what "+string(c.PCI)+" holds for its VFs", v.Config.Err)}
		case !v.HasGUID():
			bare = append(bare, v)
		}
	}
	switch {
	case len(bare) == 0:
		return nil
	case silent(n):
		return one(Info, fmt.Sprintf("%s: Linux %s does not tell those of VFs (5.5 does)", c.PCI, n.Release.Value))
	}
	seen := fmt.Sprintf("%s: %d of %d VFs have none (zeros or ones), as VF %d", c.PCI, len(bare), len(c.VFs), bare[0].Index)
	if want.guidsGiven() {
		return one(Info, seen+"; every network waits for a controller's")
	}
	state := Mend
	if want.Networks == 0 {
		state, seen = Info, seen+"; right only if every network waits for a controller's, as --config would say"
	}
	set := fmt.Sprintf("ip link set dev %s vf %d", c.Netdev, bare[0].Index)
	return one(state, seen,
		proposal(c, bare[0]),
		set+" node_guid $G",
		set+" port_guid $G",
		fmt.Sprintf("echo %s > /sys/bus/pci/drivers/%s/unbind", bare[0].PCI, bare[0].Driver),
		fmt.Sprintf("echo %s > /sys/bus/pci/drivers_probe", bare[0].PCI),
		"# or ibKubernetesEnabled in the networks: then the controller gives each pod its GUID")
}

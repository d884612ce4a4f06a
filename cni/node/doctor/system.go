package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
)

// driver: devices of a namespace's own came with Linux 5.3, and with OFED 4.7 for older ones.
// But the plugins read the sysfs of a pod's namespace too, which takes fsopen, of Linux 5.2:
// no driver package brings that.
func driver(n Node, _ Want) []Row {
	if n.Release.Err != nil {
		return []Row{unreadable("the kernel's version", n.Release.Err)}
	}
	seen := "Linux " + n.Release.Value + " with its own drivers"
	if n.OFED != "" {
		seen = "Linux " + n.Release.Value + " with OFED " + n.OFED
	}
	if atLeast(n.Release.Value, 5, 3) {
		return one(OK, seen)
	}
	return one(Mend, seen+"; devices cannot belong to a pod, or not be found there", "# boot Linux 5.3 or later; OFED alone is not enough")
}

// atLeast compares the first two numbers of a version; text that is none is too old.
func atLeast(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

// modules asks only for what the cards seen here need; without a card, for NVIDIA's.
func modules(n Node, want Want) []Row {
	if n.Modules.Err != nil {
		return []Row{unreadable("the list of modules", n.Modules.Err)}
	}
	needed := []string{"ib_core", "ib_uverbs", "ib_umad", "rdma_cm", "rdma_ucm"}
	if hasInfiniBand(n) || slices.Contains(want.Layers, node.InfiniBand) {
		needed = append(needed, "ib_ipoib") // VFs get their GUIDs through the PF's IPoIB netdev
	}
	if noCards(n) || slices.ContainsFunc(n.Cards.Value, func(c node.Card) bool { return c.Mellanox }) {
		needed = append(needed, "mlx5_core", "mlx5_ib")
	}
	missing := slices.DeleteFunc(slices.Clone(needed), n.Modules.Value.Has)
	switch {
	case len(missing) == 0:
		return one(OK, strings.Join(needed, ", "))
	case !n.Modules.Value.Loadable:
		return one(without(n), "this kernel loads no modules, and has not built in "+strings.Join(missing, ", "),
			"# boot a kernel with modules, and with these")
	}
	list := strings.Join(missing, " ")
	return one(without(n), "not loaded: "+strings.Join(missing, ", "),
		"modprobe -a "+list, "printf '%s\\n' "+list+" >> /etc/modules-load.d/ibfabric.conf")
}

// without softens a verdict on a node without cards: drivers have nothing to drive.
func without(n Node) State {
	if noCards(n) {
		return Info
	}
	return Mend
}

func rdmaMode(n Node, want Want) []Row {
	exclusive, why := want.exclusive(n)
	switch {
	case n.RDMAMode.Err != nil && noCards(n):
		return one(Info, fmt.Sprintf("not known: %v", n.RDMAMode.Err))
	case n.RDMAMode.Err != nil:
		return one(Mend, fmt.Sprintf("not known: %v", n.RDMAMode.Err), "modprobe ib_core", "rdma system show")
	case exclusive && n.RDMAMode.Value != host.Exclusive:
		return one(Mend, fmt.Sprintf("%s; %s", n.RDMAMode.Value, why), "rdma system set netns exclusive",
			"# \"Device or resource busy\": there are pods; mend rdma-mode-boot, then reboot")
	}
	return one(OK, fmt.Sprintf("%s; %s", n.RDMAMode.Value, why))
}

// bootMode is a check of its own since the switch does not outlive a reboot. The file sorts
// last, so that it wins over what an operator wrote.
func bootMode(n Node, want Want) []Row {
	exclusive, _ := want.exclusive(n)
	if n.BootMode.Err != nil {
		return []Row{unreadable("modprobe's configuration", n.BootMode.Err)}
	}
	mode, from := n.BootMode.Value, "as configured"
	if mode == "" {
		mode, from = host.Shared, "the kernel's default"
	}
	seen := fmt.Sprintf("%s after a reboot, %s", mode, from)
	if exclusive && mode != host.Exclusive {
		return one(Mend, seen, "echo 'options ib_core netns_mode=0' > /etc/modprobe.d/zz-ib_core.conf",
			"update-initramfs -u || dracut -f")
	}
	return one(OK, seen)
}

func peermem(n Node, _ Want) []Row {
	return gpuModule(n, "nvidia_peermem", "--set driver.rdma.enabled=true --set driver.rdma.useHostMofed=true")
}

func gdrcopy(n Node, _ Want) []Row { return gpuModule(n, "gdrdrv", "--set gdrcopy.enabled=true") }

// gpuModule informs only: pods without GPUs don't need it, and newer drivers do without.
func gpuModule(n Node, module, option string) []Row {
	if n.Modules.Err != nil || n.GPUs.Err != nil {
		return one(Info, "not known")
	}
	if n.Modules.Value.Has(module) {
		return one(Info, "loaded")
	}
	if n.GPUs.Value == 0 {
		return one(Info, "not loaded; there is no NVIDIA GPU")
	}
	return one(Info, fmt.Sprintf("not loaded; GPUs: %d", n.GPUs.Value), "# gpu-operator: helm upgrade with "+option)
}

func iommu(n Node, _ Want) []Row {
	for _, c := range n.Cards.Value {
		switch c.IOMMU {
		case "":
		case "identity":
			return one(Info, "on, and passes through")
		default:
			return one(Info, "on, and translates what cards read and write ("+c.IOMMU+")",
				"# if bandwidth is short: kernel parameter iommu=pt, then reboot")
		}
	}
	if noCards(n) {
		return nil
	}
	return one(Info, "off")
}

// acs informs only: whether devices must be kept apart is for whoever runs virtual machines.
func acs(n Node, _ Want) []Row {
	switch b := n.Bridges; {
	case n.GPUs.Value == 0:
		return nil
	case b.Err != nil:
		return one(Info, fmt.Sprintf("not known: the bridges' registers cannot be read: %v", b.Err))
	case b.Value.Redirecting > 0:
		return one(Info, fmt.Sprintf("%d of %d PCI bridges redirect: GPU and card may talk by way of the CPU", b.Value.Redirecting, b.Value.All),
			"lspci -vvv | grep -B20 'ACSCtl:.*ReqRedir+'", "# turn ACS off in the firmware setup; virtual machines with devices need it on")
	default:
		return one(Info, fmt.Sprintf("none of %d PCI bridges redirects", b.Value.All))
	}
}

// Package nodefake makes nodes for tests: a folder with what the kernel shows in its
// files, and answers to what it says by netlink. Tests break one thing of a healthy node
// and look what is made of it.
package nodefake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/guid"
)

// Node is a node below Root.
type Node struct {
	Root  string
	Mode  host.RDMAMode // "" is a kernel without RDMA
	t     testing.TB
	guids map[host.VF]host.VFConfig
}

var _ node.Kernel = (*Node)(nil)

// Bare is a node without cards; its kernel has no RDMA.
func Bare(t testing.TB) *Node {
	n := &Node{Root: t.TempDir(), t: t, guids: map[host.VF]host.VFConfig{}}
	n.Write("proc/sys/kernel/hostname", "node-1")
	n.Write("proc/sys/kernel/osrelease", "6.8.0-31-generic")
	n.Write("proc/cmdline", "root=/dev/sda1 quiet")
	n.Write("proc/modules", "")
	n.Write("sys/module/kernel/parameters/panic", "0")
	n.function("0000:00:00.0", 0x8086, 0x060000)
	return n
}

// InfiniBand is a healthy node with two cards, a rail each, and two VFs on each.
func InfiniBand(t testing.TB) *Node {
	n := rdma(t, node.InfiniBand)
	n.Load("ib_ipoib")
	n.Mode = host.Exclusive
	n.Write("etc/modprobe.d/ib_core.conf", "options ib_core netns_mode=0")
	return n
}

// RoCE is the same with Ethernet, in the mode that the kernel starts with.
func RoCE(t testing.TB) *Node { return rdma(t, node.Ethernet) }

func rdma(t testing.TB, layer string) *Node {
	n := Bare(t)
	n.Mode = host.Shared
	n.Load("ib_core", "ib_uverbs", "ib_umad", "rdma_cm", "rdma_ucm", "mlx5_core", "mlx5_ib")
	for i, bus := range []string{"17", "86"} {
		n.Card(layer, bus, i)
	}
	return n
}

// Card adds one with its RDMA device mlx5_<i> and two VFs.
func (n *Node) Card(layer, bus string, i int) {
	pf := "0000:" + bus + ":00.0"
	n.function(pf, 0x15b3, map[string]uint32{node.InfiniBand: 0x020700, node.Ethernet: 0x020000}[layer])
	n.Link(Device(pf, "driver"), "../../drivers/mlx5_core")
	n.Write(Device(pf, "sriov_totalvfs"), "16")
	n.Write(Device(pf, fmt.Sprintf("net/%s%d/ifindex", map[string]string{node.InfiniBand: "ib", node.Ethernet: "ens"}[layer], i)), "7")
	n.Write(Device(pf, fmt.Sprintf("infiniband/mlx5_%d/node_guid", i)), guid.GUID(0xb8599f0300a1b2c0+uint64(i)).Sysfs())
	n.port(Device(pf, fmt.Sprintf("infiniband/mlx5_%d/ports/1", i)), layer, i)
	for v := range 2 {
		vf := fmt.Sprintf("0000:%s:00.%d", bus, v+1)
		n.function(vf, 0x15b3, 0x020700)
		n.Link(Device(vf, "physfn"), "../"+pf)
		n.Link(Device(vf, "driver"), "../../drivers/mlx5_core")
		n.Link(Device(pf, fmt.Sprintf("virtfn%d", v)), "../"+vf)
		g := guid.GUID(0x0200_0000_0000_0000 + uint64(i)<<8 + uint64(v) + 1)
		n.SetGUID(pf, v, g)
	}
}

func (n *Node) port(dir, layer string, i int) {
	n.Write(dir+"/link_layer", layer)
	n.Write(dir+"/state", "4: ACTIVE")
	n.Write(dir+"/phys_state", "5: LinkUp")
	if layer == node.Ethernet {
		return
	}
	n.Write(dir+"/lid", fmt.Sprintf("%#x", 0x10+i))
	n.Write(dir+"/sm_lid", "0x1")
	for k := range 128 {
		n.Write(fmt.Sprintf("%s/pkeys/%d", dir, k), "0x0000")
	}
	n.Write(dir+"/pkeys/0", "0x7fff")
}

// Device is the path of something in a PCI function's folder.
func Device(pci, name string) string { return "sys/bus/pci/devices/" + pci + "/" + name }

func (n *Node) function(pci string, vendor, class uint32) {
	n.Write(Device(pci, "vendor"), fmt.Sprintf("%#04x", vendor))
	n.Write(Device(pci, "device"), "0x1017")
	n.Write(Device(pci, "class"), fmt.Sprintf("%#06x", class))
}

// GPU adds an NVIDIA GPU behind a bridge, which redirects by its ACS register or not.
func (n *Node) GPU(redirect bool) {
	n.function("0000:3a:00.0", 0x8086, 0x060400)
	n.function("0000:3b:00.0", 0x10de, 0x030200)
	config := make([]byte, 4096)
	config[0x100] = 0x01                                // a capability before it
	config[0x102], config[0x103] = 0x01, 0x14           // the next one is at 0x140
	config[0x140], config[0x142] = 0x0d, 0x01           // ACS
	config[0x146] = map[bool]byte{true: 0x1d}[redirect] // its control register
	n.Write(Device("0000:3a:00.0", "config"), string(config))
}

// Load makes modules present.
func (n *Node) Load(modules ...string) {
	for _, m := range modules {
		n.Write("sys/module/"+m+"/refcnt", "0")
	}
}

// Unload takes one out.
func (n *Node) Unload(module string) { n.Remove("sys/module/" + module) }

// SetGUID gives VF number index of a PF its GUIDs, as the PF holds them.
func (n *Node) SetGUID(pf string, index int, g guid.GUID) {
	n.guids[host.VF{PF: host.PCI(pf), Index: index}] = host.VFConfig{NodeGUID: g, PortGUID: g}
}

// RDMAMode implements node.Kernel.
func (n *Node) RDMAMode(context.Context) (host.RDMAMode, error) {
	if n.Mode == "" || !n.has("sys/module/ib_core") {
		return "", errors.New("protocol not supported (is ib_core loaded?)")
	}
	return n.Mode, nil
}

// VFConfig implements node.Kernel. Without ib_ipoib the PF has no netdev to ask.
func (n *Node) VFConfig(_ context.Context, vf host.VF) (host.VFConfig, error) {
	config, found := n.guids[vf]
	if !found || !n.has("sys/module/ib_ipoib") {
		return config, fmt.Errorf("reading what the PF holds for %s: %w", vf, host.ErrNotFound)
	}
	return config, nil
}

// Look reads the node.
func (n *Node) Look() node.Facts {
	return node.Look(context.Background(), node.Under(n.Root), n)
}

// Write makes a file of one line.
func (n *Node) Write(name, text string) {
	n.t.Helper()
	path := filepath.Join(n.Root, name)
	n.must(os.MkdirAll(filepath.Dir(path), 0o755))
	n.must(os.WriteFile(path, []byte(strings.TrimSuffix(text, "\n")+"\n"), 0o600))
}

// Link makes a symbolic link.
func (n *Node) Link(name, target string) {
	n.t.Helper()
	path := filepath.Join(n.Root, name)
	n.must(os.MkdirAll(filepath.Dir(path), 0o755))
	n.must(os.Symlink(target, path))
}

// Remove takes away what is at a path, which must be there.
func (n *Node) Remove(name string) {
	n.t.Helper()
	path := filepath.Join(n.Root, name)
	if _, err := os.Lstat(path); err != nil {
		n.t.Fatal(err)
	}
	n.must(os.RemoveAll(path))
}

// Unreadable makes a file, or a folder, one that not even root can read: a link to itself.
func (n *Node) Unreadable(name string) {
	n.t.Helper()
	n.Remove(name)
	n.Link(name, filepath.Base(name))
}

func (n *Node) has(name string) bool {
	_, err := os.Stat(filepath.Join(n.Root, name))
	return !errors.Is(err, fs.ErrNotExist)
}

func (n *Node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

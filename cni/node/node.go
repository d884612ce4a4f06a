// Package node reads what a node is like for RDMA: its kernel, its cards with their ports
// and VFs, and what starts at its boot. It changes nothing. What it can't read it says in
// the fact itself, so that one unreadable file hides nothing else.
//
// Package doctor judges these facts; package nodefake makes nodes for tests.
package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
)

// Fact is something that was looked at. With Err the value means nothing.
type Fact[T any] struct {
	Value T
	Err   error
}

func fact[T any](v T, err error) Fact[T] { return Fact[T]{v, err} }

// Facts is all of a node at one moment.
type Facts struct {
	Hostname string
	Release  Fact[string] // of the kernel, as uname -r
	Modules  Fact[Modules]
	OFED     string              // version of NVIDIA's driver package; "" for the kernel's own driver
	RDMAMode Fact[host.RDMAMode] // now
	BootMode Fact[host.RDMAMode] // after the next boot: what modprobe.d or the command line say, "" for nothing
	Cards    Fact[[]Card]
	GPUs     Fact[int]     // NVIDIA's
	Bridges  Fact[Bridges] // PCI bridges
}

// Kernel is what files do not tell; host.Host answers it by netlink.
type Kernel interface {
	RDMAMode(ctx context.Context) (host.RDMAMode, error)
	VFConfig(ctx context.Context, vf host.VF) (host.VFConfig, error)
}

// Paths are where the node shows itself. Under a root that is not / they serve in a
// container that has the node's tree mounted, and in tests.
type Paths struct {
	Sysfs    string   // /sys
	Proc     string   // /proc
	Modules  string   // /lib/modules
	Modprobe []string // folders of modprobe.d; later ones win
}

// Under gives the usual places below root.
func Under(root string) Paths {
	at := func(p string) string { return filepath.Join(root, p) }
	return Paths{
		Sysfs: at("sys"), Proc: at("proc"), Modules: at("lib/modules"),
		Modprobe: []string{at("lib/modprobe.d"), at("usr/lib/modprobe.d"), at("run/modprobe.d"), at("etc/modprobe.d")},
	}
}

// Look reads everything once.
func Look(ctx context.Context, p Paths, k Kernel) Facts {
	var f Facts
	f.Hostname, _ = text(filepath.Join(p.Proc, "sys/kernel/hostname")) // only a title
	f.Release = fact(text(filepath.Join(p.Proc, "sys/kernel/osrelease")))
	f.Modules = fact(p.modules(f.Release.Value))
	f.OFED = p.ofed(f.Modules.Value)
	f.RDMAMode = fact(k.RDMAMode(ctx))
	f.BootMode = fact(p.bootMode())
	functions, err := p.functions()
	if err != nil {
		f.Cards.Err, f.GPUs.Err, f.Bridges.Err = err, err, err
		return f
	}
	f.Cards.Value = p.cards(ctx, functions, k)
	f.GPUs.Value = gpus(functions)
	f.Bridges = fact(p.bridges(functions))
	return f
}

func text(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

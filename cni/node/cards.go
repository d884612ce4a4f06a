package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// Card is a physical function for RDMA; a card with two ports mostly has two.
type Card struct {
	PCI      host.PCI
	Mellanox bool
	Driver   string    // "" without one
	IOMMU    string    // the kind of its IOMMU group: identity, DMA, DMA-FQ; "" without an IOMMU
	Netdev   string    // of the PF, "" without one
	GUID     guid.GUID // of the PF's RDMA device; 0 when not known
	Ports    []Port
	VFs      []VF
	MaxVFs   int   // what firmware allows; 0 without SR-IOV
	Err      error // of what could not be read
}

// Port is a port of a card's RDMA device, as sysfs shows it.
type Port struct {
	RDMA     string // the device's name, as in mlx5_0
	Number   int
	Layer    string // InfiniBand or Ethernet
	State    host.PortState
	Physical string // LinkUp, Polling, Disabled
	LID      uint64 // 0 until the subnet manager gave one
	SMLID    uint64 // where the subnet manager is, 0 when none was heard of
	PKeys    int    // entries in use
	Room     int    // entries in all
	Err      error
}

// Link layers as the kernel writes them.
const (
	InfiniBand = "InfiniBand"
	Ethernet   = "Ethernet"
)

func (p Port) String() string { return fmt.Sprintf("%s/%d", p.RDMA, p.Number) }

// VF is a virtual function of a card.
type VF struct {
	PCI    host.PCI
	Index  int
	Driver string
	// What the PF holds for it; zero GUIDs are what a VF is born with.
	Config Fact[host.VFConfig]
}

// HasGUID reports whether somebody gave the VF a GUID. All ones is what ib-sriov-cni
// leaves behind.
func (v VF) HasGUID() bool {
	return v.Config.Value.PortGUID.IsValid() && v.Config.Value.NodeGUID.IsValid()
}

// GUID is the one that the fabric knows the VF by.
func (v VF) GUID() guid.GUID { return v.Config.Value.PortGUID }

// InfiniBand reports whether one of its ports is.
func (c Card) InfiniBand() bool { return c.hasLayer(InfiniBand) }

// Ethernet reports whether one of its ports is, for RoCE.
func (c Card) Ethernet() bool { return c.hasLayer(Ethernet) }

func (c Card) hasLayer(layer string) bool {
	return slices.ContainsFunc(c.Ports, func(p Port) bool { return p.Layer == layer })
}

func (p Paths) cards(ctx context.Context, functions []function, k Kernel) []Card {
	var cards []Card
	for _, f := range functions {
		if f.isCard() {
			cards = append(cards, readCard(ctx, f, k))
		}
	}
	return cards
}

// readCard goes on after an error: half a card still says which card it is.
func readCard(ctx context.Context, f function, k Kernel) Card {
	c := Card{PCI: f.pci, Mellanox: f.vendor == mellanox, Netdev: only(filepath.Join(f.dir, "net"))}
	var errs [5]error
	c.Driver, errs[0] = linkBase(filepath.Join(f.dir, "driver"))
	c.IOMMU, errs[1] = optional(filepath.Join(f.dir, "iommu_group/type"))
	c.MaxVFs, errs[2] = optionalInt(filepath.Join(f.dir, "sriov_totalvfs"))
	c.Ports, errs[3] = readPorts(filepath.Join(f.dir, "infiniband"))
	c.VFs, errs[4] = readVFs(ctx, f, c.hasLayer(InfiniBand), k)
	c.Err = errors.Join(errs[:]...)
	c.GUID = nodeGUID(filepath.Join(f.dir, "infiniband"))
	return c
}

// nodeGUID is for proposals only, so that no reader need hear of an error.
func nodeGUID(dir string) guid.GUID {
	s, _ := optional(filepath.Join(dir, only(dir), "node_guid"))
	g, _ := guid.Parse(s)
	return g
}

func readPorts(dir string) ([]Port, error) {
	devices, err := entries(dir)
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, device := range devices {
		numbers, err := entries(filepath.Join(dir, device, "ports"))
		if err != nil {
			return ports, err
		}
		for _, number := range numbers {
			p := readPort(filepath.Join(dir, device, "ports", number))
			p.RDMA = device
			p.Number, _ = strconv.Atoi(number) // the kernel's own number
			ports = append(ports, p)
		}
	}
	return ports, nil
}

func readPort(dir string) (p Port) {
	var errs [6]error
	p.Layer, errs[0] = text(filepath.Join(dir, "link_layer"))
	p.State, errs[1] = readState(filepath.Join(dir, "state"))
	_, p.Physical, errs[2] = numbered(filepath.Join(dir, "phys_state"))
	if p.Layer == InfiniBand {
		p.LID, errs[3] = number(filepath.Join(dir, "lid"))
		p.SMLID, errs[4] = number(filepath.Join(dir, "sm_lid"))
		p.PKeys, p.Room, errs[5] = countPKeys(filepath.Join(dir, "pkeys"))
	}
	p.Err = errors.Join(errs[:]...)
	return p
}

func readState(path string) (host.PortState, error) {
	n, _, err := numbered(path)
	if err != nil {
		return 0, err
	}
	state, err := strconv.ParseUint(n, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return host.PortState(state), nil
}

// countPKeys reads all of them; a zero is an empty entry, also between others.
func countPKeys(dir string) (used, room int, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range list {
		entry, err := number(filepath.Join(dir, e.Name()))
		if err != nil {
			return used, room, err
		}
		room++
		if entry != 0 {
			used++
		}
	}
	return used, room, nil
}

// readVFs lists the VFs in the order of their numbers. Only InfiniBand has GUIDs.
func readVFs(ctx context.Context, f function, guids bool, k Kernel) ([]VF, error) {
	links, err := filepath.Glob(filepath.Join(f.dir, "virtfn*"))
	if err != nil {
		return nil, err
	}
	var vfs []VF
	for _, link := range links {
		index, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(link), "virtfn"))
		if err != nil {
			continue
		}
		target, err := os.Readlink(link)
		if err != nil {
			return vfs, err
		}
		v := VF{PCI: host.PCI(filepath.Base(target)), Index: index}
		if v.Driver, err = linkBase(filepath.Join(link, "driver")); err != nil {
			return vfs, err
		}
		if guids {
			v.Config = fact(k.VFConfig(ctx, host.VF{PF: f.pci, Index: index}))
		}
		vfs = append(vfs, v)
	}
	slices.SortFunc(vfs, func(a, b VF) int { return a.Index - b.Index })
	return vfs, nil
}

// numbered reads a state as sysfs writes it, "4: ACTIVE".
func numbered(path string) (number, word string, err error) {
	s, err := text(path)
	number, word, _ = strings.Cut(s, ":")
	return number, strings.TrimSpace(word), err
}

// entries lists a folder, which may be missing.
func entries(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, nil
}

// only is the first entry of a folder, "" without one.
func only(dir string) string {
	if names, _ := entries(dir); len(names) > 0 {
		return names[0]
	}
	return ""
}

func optional(path string) (string, error) {
	s, err := text(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return s, err
}

func optionalInt(path string) (int, error) {
	s, err := optional(path)
	if s == "" || err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

func linkBase(path string) (string, error) {
	target, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return filepath.Base(target), nil
}

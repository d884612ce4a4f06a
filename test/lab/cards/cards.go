//go:build linux

// Package cards makes the VFs of the guest's cards (fakeib), as a node's boot scripts do.
package cards

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

const (
	// Driver is the module's name as a PCI driver.
	Driver = "fakeib"
	// PerPF is how many VFs QEMU's igb has.
	PerPF = 7

	devices = "/sys/bus/pci/devices"
)

// Card is a PF with its VFs.
type Card struct {
	PF       host.PCI
	Ethernet bool
	VFs      []host.PCI
}

// Find lists the PFs that the module has bound to, by address, with the VFs that they have.
func Find() ([]Card, error) {
	paths, err := filepath.Glob("/sys/bus/pci/drivers/" + Driver + "/0*")
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("the module %s has no card: %w", Driver, err)
	}
	var cards []Card
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(path, "physfn")); err == nil {
			continue
		}
		layers, _ := filepath.Glob(filepath.Join(path, "infiniband/*/ports/1/link_layer"))
		if len(layers) != 1 {
			return nil, fmt.Errorf("%s has %d ports, want one", path, len(layers))
		}
		layer, err := os.ReadFile(layers[0])
		if err != nil {
			return nil, err
		}
		c := Card{PF: host.PCI(filepath.Base(path)), Ethernet: strings.HasPrefix(string(layer), "Ethernet")}
		made, _ := filepath.Glob(filepath.Join(devices, string(c.PF), "virtfn*"))
		if err := c.list(len(made)); err != nil {
			return nil, err
		}
		cards = append(cards, c)
	}
	return cards, nil
}

// MakeVFs makes all VFs of a card. None is bound: that is Prepare's, once it has its GUIDs.
func (c *Card) MakeVFs() error {
	dir := filepath.Join(devices, string(c.PF))
	for _, set := range [][2]string{{"sriov_drivers_autoprobe", "0"}, {"sriov_numvfs", fmt.Sprint(PerPF)}, {"sriov_drivers_autoprobe", "1"}} {
		if err := os.WriteFile(filepath.Join(dir, set[0]), []byte(set[1]), 0); err != nil {
			return err
		}
	}
	return c.list(PerPF)
}

func (c *Card) list(n int) error {
	c.VFs = nil
	for vf := range n {
		link, err := os.Readlink(filepath.Join(devices, string(c.PF), fmt.Sprintf("virtfn%d", vf)))
		if err != nil {
			return err
		}
		c.VFs = append(c.VFs, host.PCI(filepath.Base(link)))
	}
	return nil
}

// Name gives a VF its GUID, or on Ethernet its address, which its driver takes over when it
// binds. It fails while the card has no netdev yet.
func (c *Card) Name(ctx context.Context, h *host.Host, vf int, g guid.GUID, mac host.MAC) error {
	at := host.VF{PF: c.PF, Index: vf}
	if c.Ethernet {
		return h.SetVFEthernet(ctx, at, host.Ethernet{MAC: mac, SpoofCheck: true})
	}
	return h.SetVFGUID(ctx, at, g, g)
}

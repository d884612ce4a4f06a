//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// card is a PF with its VFs.
type card struct {
	pf       host.PCI
	ethernet bool
	vfs      []host.PCI
}

const devices = "/sys/bus/pci/devices"

// findCards lists the PFs that the module has bound to, by address.
func findCards() ([]card, error) {
	paths, err := filepath.Glob("/sys/bus/pci/drivers/" + driver + "/0*")
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("the module %s has no card: %w", driver, err)
	}
	var cards []card
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
		cards = append(cards, card{pf: host.PCI(filepath.Base(path)), ethernet: strings.HasPrefix(string(layer), "Ethernet")})
	}
	return cards, nil
}

// powerOn makes every card anew and gives its VFs what a node's boot scripts would.
func (l *Lab) powerOn() error {
	l.boots++
	if err := os.WriteFile(bootFile, fmt.Appendf(nil, "boot-%d\n", l.boots), 0o600); err != nil {
		return err
	}
	ctx := context.Background()
	for i := range l.cards {
		c := &l.cards[i]
		if err := errors.Join(l.host.Unbind(ctx, c.pf), l.host.Bind(ctx, c.pf, driver)); err != nil {
			return err
		}
		if err := c.makeVFs(); err != nil {
			return err
		}
		for j := range c.vfs {
			if err := l.prepare(ctx, c, i, j); err != nil {
				return err
			}
		}
	}
	err := eventually("VFs with their names", l.allAtHome)
	l.fresh = l.look()
	return err
}

func (c *card) makeVFs() error {
	dir := filepath.Join(devices, string(c.pf))
	// Bound once they have their GUIDs, and not twice.
	for _, set := range [][2]string{{"sriov_drivers_autoprobe", "0"}, {"sriov_numvfs", fmt.Sprint(vfsPerPF)}, {"sriov_drivers_autoprobe", "1"}} {
		if err := os.WriteFile(filepath.Join(dir, set[0]), []byte(set[1]), 0); err != nil {
			return err
		}
	}
	c.vfs = nil
	for j := range vfsPerPF {
		link, err := os.Readlink(filepath.Join(dir, fmt.Sprintf("virtfn%d", j)))
		if err != nil {
			return err
		}
		c.vfs = append(c.vfs, host.PCI(filepath.Base(link)))
	}
	return nil
}

// prepare gives VF number j its GUID or address, which its driver takes over when bound.
func (l *Lab) prepare(ctx context.Context, c *card, i, j int) error {
	vf := host.VF{PF: c.pf, Index: j}
	err := eventually("netdev of "+string(c.pf), func() error {
		if c.ethernet {
			return l.host.SetVFEthernet(ctx, vf, host.Ethernet{MAC: host.MAC{2, 0xaa, 0, byte(i), 0, byte(j)}, SpoofCheck: true})
		}
		g := guid.GUID(firstGUID + i<<8 + j)
		return l.host.SetVFGUID(ctx, vf, g, g)
	})
	return errors.Join(err, l.host.Bind(ctx, c.vfs[j], driver))
}

// vfState is what a story must leave as it was.
type vfState struct {
	config   host.VFConfig
	port     guid.GUID
	name     string
	mtu      int
	up       bool
	children int
	addr     string
}

// look is how the VFs are; one that is away is left out.
func (l *Lab) look() map[host.PCI]vfState {
	ctx, states := context.Background(), map[host.PCI]vfState{}
	for _, c := range l.cards {
		for j, vf := range c.vfs {
			config, err := l.host.VFConfig(ctx, host.VF{PF: c.pf, Index: j})
			port, portErr := l.host.Port(ctx, host.Home, vf)
			netdev, netdevErr := l.host.Netdev(ctx, host.Home, vf)
			if errors.Join(err, portErr, netdevErr) != nil {
				continue
			}
			s := vfState{config: config, port: port.GUID, name: netdev.Name, mtu: netdev.MTU, up: netdev.Up, children: len(netdev.Children)}
			if c.ethernet { // an IPoIB address has the number of a queue pair in it
				s.addr = netdev.Addr.String()
			}
			states[vf] = s
		}
	}
	return states
}

// allAtHome fails unless each VF has both devices at home, its netdev under udev's name.
func (l *Lab) allAtHome() error {
	ctx := context.Background()
	for _, vf := range slices.Concat(l.VFs(), l.RoCE()) {
		if _, err := l.host.RDMADevice(ctx, host.Home, vf); err != nil {
			return err
		}
		netdev, err := l.host.Netdev(ctx, host.Home, vf)
		if err != nil {
			return err
		}
		if isKernels(netdev.Name) {
			return fmt.Errorf("%s has its kernel's name %s", vf, netdev.Name)
		}
	}
	return nil
}

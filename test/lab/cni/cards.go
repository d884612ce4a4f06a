//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/cards"
)

// powerOn makes every card anew and gives its VFs what a node's boot scripts would.
func (l *Lab) powerOn() error {
	l.boots++
	if err := os.WriteFile(bootFile, fmt.Appendf(nil, "boot-%d\n", l.boots), 0o600); err != nil {
		return err
	}
	ctx := context.Background()
	for i := range l.cards {
		c := &l.cards[i]
		if err := errors.Join(l.host.Unbind(ctx, c.PF), l.host.Bind(ctx, c.PF, driver)); err != nil {
			return err
		}
		if err := c.MakeVFs(); err != nil {
			return err
		}
		for j := range c.VFs {
			if err := l.prepare(ctx, c, i, j); err != nil {
				return err
			}
		}
	}
	err := eventually("VFs with their names", l.allAtHome)
	l.fresh = l.look()
	return err
}

// prepare gives VF number j its GUID or address, and binds it.
func (l *Lab) prepare(ctx context.Context, c *cards.Card, i, j int) error {
	err := eventually("netdev of "+string(c.PF), func() error {
		return c.Name(ctx, l.host, j, guid.GUID(firstGUID+i<<8+j), host.MAC{2, 0xaa, 0, byte(i), 0, byte(j)})
	})
	return errors.Join(err, l.host.Bind(ctx, c.VFs[j], driver))
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
		for j, vf := range c.VFs {
			config, err := l.host.VFConfig(ctx, host.VF{PF: c.PF, Index: j})
			port, portErr := l.host.Port(ctx, host.Home, vf)
			netdev, netdevErr := l.host.Netdev(ctx, host.Home, vf)
			if errors.Join(err, portErr, netdevErr) != nil {
				continue
			}
			s := vfState{config: config, port: port.GUID, name: netdev.Name, mtu: netdev.MTU, up: netdev.Up, children: len(netdev.Children)}
			if c.Ethernet { // an IPoIB address has the number of a queue pair in it
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

//go:build linux

// Command inside is the lab's own part in the node that depends on ibfabric's code, and is
// therefore not in the node's snapshot. Its first argument says what to do:
//
//	cards GUID      make all VFs, with GUIDs and addresses from that number on
//	vfs             print what the node has of them, as JSON
//	bridge          serve test/lab/bridge on a serial port, for ever
//	pass FROM=TO …  pass connections on from one TCP address to another, for ever
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/bridge"
	"github.com/ibfabric/ibfabric/test/lab/cards"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/guest/serial"
	"github.com/ibfabric/ibfabric/test/lab/node/vfs"
)

func main() {
	ctx := context.Background()
	var err error
	switch words := os.Args[1:]; {
	case len(words) == 2 && words[0] == "cards":
		err = makeVFs(ctx, words[1])
	case len(words) == 1 && words[0] == "vfs":
		err = printVFs(ctx)
	case len(words) == 1 && words[0] == "bridge":
		err = serve(ctx)
	case len(words) > 1 && words[0] == "pass":
		err = passAll(words[1:])
	default:
		err = fmt.Errorf("do not know what to do with %q", words)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// makeVFs gives every VF a GUID of its own, as mlx5 cards have it from their firmware, or
// on Ethernet an address.
func makeVFs(ctx context.Context, first string) error {
	g, err := guid.Parse(first)
	if err != nil {
		return err
	}
	list, err := cards.Find()
	if err != nil {
		return err
	}
	h := host.New(host.Paths{})
	for i := range list {
		c := &list[i]
		if err := c.MakeVFs(); err != nil {
			return err
		}
		if err := up(c); err != nil {
			return fmt.Errorf("setting %s up: %w", c.PF, err)
		}
		for vf := range c.VFs {
			mine, mac := g+guid.GUID(i<<8+vf), host.MAC{2, 0xaa, byte(g >> 16), byte(i), 0, byte(vf)}
			err := eventually(func() error { return c.Name(ctx, h, vf, mine, mac) })
			if err := errors.Join(err, h.Bind(ctx, c.VFs[vf], cards.Driver)); err != nil {
				return fmt.Errorf("VF %d of %s: %w", vf, c.PF, err)
			}
		}
	}
	return nil
}

// up sets an Ethernet card up, which a node's own settings do: its port is down as long.
func up(c *cards.Card) error {
	if !c.Ethernet {
		return nil
	}
	names, err := filepath.Glob(filepath.Join("/sys/bus/pci/devices", string(c.PF), "net/*"))
	if err == nil && len(names) != 1 {
		err = fmt.Errorf("it has the netdevs %q", names)
	}
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(filepath.Base(names[0]))
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// eventually is for a PF's netdev, which ib_ipoib makes in its own time.
func eventually(do func() error) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = do(); err == nil {
			return nil
		}
	}
	return err
}

func printVFs(ctx context.Context) error {
	list, err := cards.Find()
	if err != nil {
		return err
	}
	var all []vfs.VF
	for _, c := range list {
		for i, pci := range c.VFs {
			all = append(all, look(ctx, c, i, pci))
		}
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

func look(ctx context.Context, c cards.Card, i int, pci host.PCI) vfs.VF {
	h := host.New(host.Paths{})
	vf := vfs.VF{PCI: string(pci), PF: string(c.PF), Ethernet: c.Ethernet}
	if config, err := h.VFConfig(ctx, host.VF{PF: c.PF, Index: i}); err == nil {
		vf.NodeGUID, vf.PortGUID = config.NodeGUID, config.PortGUID
		vf.MAC, vf.VLAN = config.Ethernet.MAC.String(), config.Ethernet.VLAN
	}
	if port, err := h.Port(ctx, host.Home, pci); err == nil {
		vf.HasRDMA, vf.Port = true, port.GUID
	}
	if netdev, err := h.Netdev(ctx, host.Home, pci); err == nil {
		vf.HasNetdev, vf.Up = true, netdev.Up
	}
	return vf
}

func serve(ctx context.Context) error {
	hca, err := bridge.OpenFakeib()
	if err != nil {
		return err
	}
	line, err := serial.Open(guest.Line)
	if err != nil {
		return err
	}
	return bridge.Serve(ctx, line, hca)
}

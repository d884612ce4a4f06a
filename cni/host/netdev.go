//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkAt stands for the netdev with an index, whatever its name.
func linkAt(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// Netdev implements Netdevs.
func (h *Host) Netdev(_ context.Context, ns NetNS, pci PCI) (Netdev, error) {
	var found Netdev
	err := h.sysfsAt(ns, func(sysfs string) error {
		index, err := netdevIndexStable(sysfs, pci)
		if err != nil {
			return err
		}
		err = h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) (err error) {
			found, err = describe(handle, index)
			return err
		})
		if err == nil && len(found.Addr) == ipoibAddrLen {
			found.Children, err = children(ns, index)
		}
		return err
	})
	if err != nil {
		return Netdev{}, fmt.Errorf("looking for the netdev of %s in %s: %w", pci, ns, gone(err))
	}
	return found, nil
}

// netdevIndexStable looks again when a netdev was renamed between the listing of its
// folder and the reading of its index.
func netdevIndexStable(sysfs string, pci PCI) (index int, err error) {
	for range 5 {
		if index, err = netdevIndex(sysfs, pci); err == nil {
			break
		}
	}
	return index, err
}

func describe(handle *netlink.Handle, index int) (Netdev, error) {
	link, err := handle.LinkByIndex(index)
	if err != nil {
		return Netdev{}, err
	}
	attrs := link.Attrs()
	return Netdev{Index: index, Name: attrs.Name, Up: attrs.RawFlags&unix.IFF_UP != 0, Carrier: attrs.RawFlags&unix.IFF_RUNNING != 0, MTU: attrs.MTU, Addr: attrs.HardwareAddr}, nil
}

// MoveNetdev implements Netdevs.
func (h *Host) MoveNetdev(_ context.Context, from NetNS, index int, to NetNS, name string) error {
	err := moveNetdev(from, index, to, name)
	if errors.Is(err, unix.EEXIST) && h.dropAltNames(from, index) {
		err = moveNetdev(from, index, to, name)
	}
	if err != nil {
		return fmt.Errorf("moving netdev %d from %s to %s as %s: %w", index, from, to, name, gone(err))
	}
	return nil
}

func moveNetdev(from NetNS, index int, to NetNS, name string) error {
	target, err := to.open()
	if err != nil {
		return err
	}
	defer target.Close()
	return retry(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(index)
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(target))))
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		_, err := execute(from, req)
		return err
	})
}

// dropAltNames takes the alternative names from a netdev and reports whether it had any. Since
// Linux 6.6 one that the new namespace has keeps it out, under whatever name; a pod can give
// its netdev any, and would never lose it.
func (h *Host) dropAltNames(n NetNS, index int) (had bool) {
	err := h.netlinkAt(n, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		link, err := handle.LinkByIndex(index)
		if err != nil {
			return err
		}
		for _, name := range link.Attrs().AltNames {
			had = true
			if err := handle.LinkDelAltName(link, name); err != nil {
				return err
			}
		}
		return nil
	})
	return had && err == nil
}

// RenameNetdev implements Netdevs.
func (h *Host) RenameNetdev(_ context.Context, ns NetNS, index int, name string) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		err := handle.LinkSetName(linkAt(index), name)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		// udev keeps a netdev's former name as an alternative one, which is in the way
		// when the netdev itself is to have it.
		link, lookErr := handle.LinkByIndex(index)
		if lookErr != nil || !slices.Contains(link.Attrs().AltNames, name) {
			return err
		}
		if err := handle.LinkDelAltName(link, name); err != nil {
			return err
		}
		return handle.LinkSetName(link, name)
	})
	if err != nil {
		return fmt.Errorf("renaming netdev %d in %s to %s: %w", index, ns, name, gone(err))
	}
	return nil
}

// SetNetdevUp implements Netdevs.
func (h *Host) SetNetdevUp(_ context.Context, ns NetNS, index int, up bool) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		if up {
			return handle.LinkSetUp(linkAt(index))
		}
		return handle.LinkSetDown(linkAt(index))
	})
	if err != nil {
		return fmt.Errorf("setting netdev %d in %s up=%t: %w", index, ns, up, gone(err))
	}
	return nil
}

// SetNetdevMTU implements Netdevs.
func (h *Host) SetNetdevMTU(_ context.Context, ns NetNS, index, mtu int) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		return handle.LinkSetMTU(linkAt(index), mtu)
	})
	if err != nil {
		return fmt.Errorf("setting the MTU of netdev %d in %s to %d: %w", index, ns, mtu, gone(err))
	}
	return nil
}

// SetNetdevAddr implements Netdevs.
func (h *Host) SetNetdevAddr(_ context.Context, ns NetNS, index int, addr MAC) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		return handle.LinkSetHardwareAddr(linkAt(index), addr[:])
	})
	if err != nil {
		return fmt.Errorf("setting the address of netdev %d in %s to %s: %w", index, ns, addr, gone(err))
	}
	return nil
}

// gone marks what rtnetlink says about a device that is not there.
func gone(err error) error {
	var missing netlink.LinkNotFoundError
	if errors.Is(err, unix.ENODEV) || errors.As(err, &missing) {
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	}
	return err
}

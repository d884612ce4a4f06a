//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RDMAMode implements Node.
func (h *Host) RDMAMode(context.Context) (RDMAMode, error) {
	var mode string
	err := h.netlinkAt(Home, unix.NETLINK_RDMA, func(handle *netlink.Handle) (err error) {
		mode, err = handle.RdmaSystemGetNetnsMode()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("asking for the RDMA subsystem's namespace mode (is ib_core loaded?): %w", err)
	}
	return RDMAMode(mode), nil
}

// RDMADevice implements RDMA.
func (h *Host) RDMADevice(_ context.Context, ns NetNS, pci PCI) (RDMADevice, error) {
	var found RDMADevice
	err := h.sysfsAt(ns, func(sysfs string) error {
		return h.netlinkAt(ns, unix.NETLINK_RDMA, func(handle *netlink.Handle) (err error) {
			found, err = findRDMA(sysfs, handle.RdmaLinkList, pci)
			return err
		})
	})
	if err != nil {
		return RDMADevice{}, fmt.Errorf("looking for the RDMA device of %s in %s: %w", pci, ns, err)
	}
	return found, nil
}

// findRDMA asks sysfs for the name and netlink, which knows no PCI addresses, for the index
// that goes with it. A dump of RDMA devices resumes by position, so it can miss a device while
// another one is rebound; and a name can pass to another device between the answers, whose
// index would move that one into the pod. Either is mended by looking again.
func findRDMA(sysfs string, list func() ([]*netlink.RdmaLink, error), pci PCI) (RDMADevice, error) {
	var name string
	for range 10 {
		var err error
		if name, err = rdmaName(sysfs, pci); err != nil {
			return RDMADevice{}, err
		}
		links, err := list()
		if err != nil && !errors.Is(err, errInterrupted) {
			return RDMADevice{}, err
		}
		i := slices.IndexFunc(links, func(l *netlink.RdmaLink) bool { return l.Attrs.Name == name })
		if i < 0 {
			continue
		}
		if again, err := rdmaName(sysfs, pci); err == nil && again == name {
			return RDMADevice{Index: links[i].Attrs.Index, Name: name}, nil
		}
	}
	return RDMADevice{}, fmt.Errorf("sysfs shows %s, but RDMA netlink does not: %w", name, ErrNotFound)
}

// MoveRDMA implements RDMA.
func (h *Host) MoveRDMA(_ context.Context, from NetNS, index uint32, to NetNS) error {
	err := h.moveRDMA(from, index, to)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("moving RDMA device %d from %s to %s: the RDMA subsystem is in shared mode, or its driver cannot move devices: %w", index, from, to, err)
	case err != nil:
		return fmt.Errorf("moving RDMA device %d from %s to %s: %w", index, from, to, gone(err))
	}
	return nil
}

func (h *Host) moveRDMA(from NetNS, index uint32, to NetNS) error {
	target, err := to.open()
	if err != nil {
		return err
	}
	defer target.Close()
	// The kernel compares the device's namespace with that of the calling thread, not of the
	// socket (rdma_dev_change_netns), and says ENODEV when they differ.
	return from.within(func() error {
		return h.netlinkAt(Home, unix.NETLINK_RDMA, func(handle *netlink.Handle) error {
			return handle.RdmaLinkSetNsFd(rdmaAt(index), uint32(target))
		})
	})
}

// RenameRDMA implements RDMA.
func (h *Host) RenameRDMA(_ context.Context, ns NetNS, index uint32, name string) error {
	err := h.netlinkAt(ns, unix.NETLINK_RDMA, func(handle *netlink.Handle) error {
		return handle.RdmaLinkSetName(rdmaAt(index), name)
	})
	if err != nil {
		return fmt.Errorf("renaming RDMA device %d in %s to %s: %w", index, ns, name, gone(err))
	}
	return nil
}

// rdmaAt stands for the RDMA device with an index, whatever its name.
func rdmaAt(index uint32) *netlink.RdmaLink {
	return &netlink.RdmaLink{Attrs: netlink.RdmaLinkAttrs{Index: index}}
}

// Port implements RDMA.
func (h *Host) Port(_ context.Context, ns NetNS, pci PCI) (Port, error) {
	var port Port
	err := h.sysfsAt(ns, func(sysfs string) (err error) {
		port, err = readPort(sysfs, pci)
		return err
	})
	if err != nil {
		return port, fmt.Errorf("reading sysfs of %s: %w", ns, err)
	}
	return port, nil
}

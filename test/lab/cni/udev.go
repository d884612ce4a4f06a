//go:build linux

package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/ibfabric/ibfabric/cni/host"
)

// startUdev renames netdevs at home as systemd's udevd does on a node: by PCI address,
// when one appears under a name that nobody chose (NamePolicy=keep). The names that the
// kernel hands out after a rebind are whatever is free.
func (l *Lab) startUdev() error {
	updates, done := make(chan netlink.LinkUpdate, 256), make(chan struct{})
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ReceiveBufferSize: 1 << 20, ReceiveBufferForceSize: true,
		ErrorCallback: func(err error) {
			select {
			case <-done:
			default:
				fmt.Fprintln(os.Stderr, "lab udev:", err)
			}
		},
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for update := range updates {
			rename(update.Link.Attrs())
		}
	}()
	l.t.Cleanup(func() {
		close(done)
		<-ended
	})
	return nil
}

func renameAll() {
	links, _ := netlink.LinkList() // next time, then
	for _, link := range links {
		rename(link.Attrs())
	}
}

// rename may fail: the netdev can be gone, or up, by now.
func rename(attrs *netlink.LinkAttrs) {
	if !isKernels(attrs.Name) || chosen(attrs.Name) {
		return
	}
	device, err := os.Readlink(filepath.Join("/sys/class/net", attrs.Name, "device"))
	if err != nil {
		return
	}
	prefix := "en"
	if len(attrs.HardwareAddr) == 20 {
		prefix = "ib"
	}
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: attrs.Index}}
	_ = netlink.LinkSetName(link, prefix+persistentName(host.PCI(filepath.Base(device))))
}

var kernels = regexp.MustCompile(`^(ib|eth|dev)[0-9]+$`)

// isKernels reports whether a name is one that the kernel makes up.
func isKernels(name string) bool { return kernels.MatchString(name) }

// chosen reports whether somebody gave the netdev its name (NET_NAME_USER, _RENAMED).
func chosen(name string) bool {
	kind, err := os.ReadFile(filepath.Join("/sys/class/net", name, "name_assign_type"))
	return err == nil && strings.ContainsAny(string(kind), "34")
}

// persistentName is what udev makes of an address: p23s0f2.
func persistentName(pci host.PCI) string {
	var domain, bus, device, function int
	_, _ = fmt.Sscanf(string(pci), "%x:%x:%x.%x", &domain, &bus, &device, &function)
	return fmt.Sprintf("p%ds%df%d", bus, device, function)
}

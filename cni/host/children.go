//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ipoibAddrLen is the length of an IPoIB address (RFC 4391, 9.1.1).
const ipoibAddrLen = 20

// children lists the IPoIB netdevs that hang on another. They have no device, so sysfs does
// not show them with their function; the kernel picks them out of all netdevs of ns.
func children(ns NetNS, parent int) ([]Child, error) {
	var messages [][]byte
	err := retry(func() (err error) {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated((&netlink.IPoIB{}).Type()))
		req.AddData(info)
		messages, err = execute(ns, req)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the IPoIB netdevs of %d: %w", parent, err)
	}
	return parseChildren(messages, parent)
}

// parseChildren reads the answers to RTM_GETLINK. A parent is IPoIB, too, and hangs on itself.
func parseChildren(messages [][]byte, parent int) (list []Child, err error) {
	for _, m := range messages {
		if len(m) < unix.SizeofIfInfomsg {
			return nil, errors.New("the kernel's answer is cut off")
		}
		link, err := netlink.LinkDeserialize(nil, m)
		if err != nil {
			return nil, err
		}
		ipoib, ok := link.(*netlink.IPoIB)
		if !ok || ipoib.ParentIndex != parent || ipoib.Index == parent {
			continue
		}
		list = append(list, Child{Index: ipoib.Index, Name: ipoib.Name, Entry: ipoib.Pkey})
	}
	return list, nil
}

// AddChild implements Children.
func (h *Host) AddChild(_ context.Context, ns NetNS, parent int, name string, entry uint16) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = name, parent
		return handle.LinkAdd(&netlink.IPoIB{LinkAttrs: attrs, Pkey: entry, Mode: netlink.IPOIB_MODE_DATAGRAM})
	})
	if err != nil {
		return fmt.Errorf("adding IPoIB netdev %s for pkey %#04x in %s: %w", name, entry, ns, gone(err))
	}
	return nil
}

// DeleteNetdev implements Children.
func (h *Host) DeleteNetdev(_ context.Context, ns NetNS, index int) error {
	err := h.netlinkAt(ns, unix.NETLINK_ROUTE, func(handle *netlink.Handle) error {
		return handle.LinkDel(linkAt(index))
	})
	if err = gone(err); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("deleting netdev %d in %s: %w", index, ns, err)
	}
	return nil
}

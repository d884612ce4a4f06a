//go:build linux

package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
)

// Announce implements Addresses.
func (h *Host) Announce(_ context.Context, n NetNS, name string, result *types100.Result) error {
	err := ns.WithNetNSPath(string(n), func(ns.NetNS) error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if len(link.HardwareAddr) != 6 {
			return fmt.Errorf("its address %s is no Ethernet address", link.HardwareAddr)
		}
		var errs []error
		for _, ip := range result.IPs {
			if v4 := ip.Address.IP.To4(); v4 != nil {
				errs = append(errs, sendARP(link, v4))
			} else {
				errs = append(errs, sendAdvertisement(link, ip.Address.IP.To16()))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("announcing the addresses of %s in %s: %w", name, n, err)
	}
	return nil
}

// sendARP sends an ARP request of an address for itself, to all (RFC 5227, 3).
func sendARP(link *net.Interface, ip net.IP) error {
	return send(unix.AF_PACKET, unix.SOCK_DGRAM, func(fd int) error {
		p := make([]byte, 0, 28)
		p = binary.BigEndian.AppendUint16(p, 1) // Ethernet
		p = binary.BigEndian.AppendUint16(p, unix.ETH_P_IP)
		p = append(p, 6, 4, 0, 1) // lengths of both addresses; a request
		p = append(append(p, link.HardwareAddr...), ip...)
		p = append(append(p, make([]byte, 6)...), ip...)
		const arp = unix.ETH_P_ARP>>8 | unix.ETH_P_ARP&0xff<<8 // in network order
		return unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{
			Protocol: arp, Ifindex: link.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		})
	})
}

// sendAdvertisement sends an unsolicited neighbour advertisement that overrides what the
// link's nodes know of the address (RFC 4861, 4.4 and 7.2.6). The kernel adds the checksum.
func sendAdvertisement(link *net.Interface, ip net.IP) error {
	return send(unix.AF_INET6, unix.SOCK_RAW, func(fd int) error {
		p := []byte{136, 0, 0, 0, 0x20, 0, 0, 0} // type and flags: override
		p = append(append(p, ip...), 2, 1)       // option: the target's link-layer address
		p = append(p, link.HardwareAddr...)
		// Nodes drop what has come through a router.
		err := errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index),
			unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte(ip), ZoneId: uint32(link.Index)}))
		if err != nil {
			return err
		}
		return unix.Sendto(fd, p, 0, &unix.SockaddrInet6{Addr: [16]byte(net.IPv6linklocalallnodes), ZoneId: uint32(link.Index)})
	})
}

func send(family, kind int, f func(fd int) error) error {
	protocol := 0 // of packets: none is received
	if family == unix.AF_INET6 {
		protocol = unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(int64(time.Second))
	return errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout), f(fd))
}

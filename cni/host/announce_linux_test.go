package host

import (
	"errors"
	"net"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// listen receives the packets that come to a netdev.
func listen(t *testing.T, pod NetNS, name string) (fd int) {
	t.Helper()
	inside(t, pod, func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		limit := unix.NsecToTimeval(int64(10 * time.Second))
		return errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// heard reports whether a packet comes that is what is looked for.
func heard(fd int, is func(p []byte) bool) bool {
	p := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, p)
		if errors.Is(err, unix.EINTR) { // with a time limit no read is taken up again behind a signal, and Go's runtime sends some
			continue
		}
		if err != nil {
			return false
		}
		if is(p[:n]) {
			return true
		}
	}
}

func TestNeighboursHearOfAnAddress(t *testing.T) {
	pod, h := railsIn(t), New(Paths{})
	both := result("net1", "10.1.0.5/24", "10.1.0.254")
	both.IPs = append(both.IPs, result("net1", "fd00:1::5/64", "fd00:1::fe").IPs...)
	both.Routes = nil
	if err := h.Configure(t.Context(), pod, "net1", both); err != nil {
		t.Fatal(err)
	}
	var mac net.HardwareAddr
	inside(t, pod, func() error {
		link, err := netlink.LinkByName("net1")
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	})
	for i, is := range map[int]func(p []byte) bool{
		0: func(p []byte) bool { // ARP: sender and target are the address
			return len(p) >= 42 && p[12] == 0x08 && p[13] == 0x06 && string(p[22:28]) == string(mac) &&
				net.IP(p[28:32]).String() == "10.1.0.5" && net.IP(p[38:42]).String() == "10.1.0.5"
		},
		1: func(p []byte) bool { // a neighbour advertisement of the address, which overrides
			return len(p) >= 86 && p[12] == 0x86 && p[13] == 0xdd && p[21] == 255 && p[54] == 136 && p[58] == 0x20 &&
				net.IP(p[62:78]).String() == "fd00:1::5" && string(p[80:86]) == string(mac) && (p[56] != 0 || p[57] != 0)
		},
	} {
		fd := listen(t, pod, "net1p")
		one := &types100.Result{IPs: both.IPs[i : i+1]}
		if err := h.Announce(t.Context(), pod, "net1", one); err != nil {
			t.Fatal(err)
		}
		if !heard(fd, is) {
			t.Errorf("nobody heard of %s", one.IPs[0].Address.IP)
		}
	}
	if err := h.Announce(t.Context(), pod, "net9", both); err == nil {
		t.Error("what is not there was announced")
	}
}

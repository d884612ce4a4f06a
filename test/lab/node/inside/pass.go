//go:build linux

package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// passAll stands in for kube-proxy and for a router: there is no NAT in the node's kernel. An
// address to listen on that is not the node's becomes one of its loopback device's, so that
// what pods send there ends here. The bytes are passed on as they are, TLS and all.
func passAll(pairs []string) error {
	ended := make(chan error)
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q: write FROM=TO", pair)
		}
		listener, err := listen(from)
		if err != nil {
			return fmt.Errorf("listening on %s: %w", from, err)
		}
		go func() { ended <- pass(listener, to) }()
	}
	return <-ended
}

func listen(address string) (net.Listener, error) {
	host, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if !host.IP.IsUnspecified() {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return nil, err
		}
		if err := netlink.AddrReplace(lo, &netlink.Addr{IPNet: netlink.NewIPNet(host.IP)}); err != nil {
			return nil, err
		}
	}
	return net.Listen("tcp", address)
}

func pass(listener net.Listener, to string) error {
	for {
		from, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer from.Close()
			there, err := net.Dial("tcp", to)
			if err != nil {
				log.Print("lab: ", err)
				return
			}
			defer there.Close()
			join(from.(*net.TCPConn), there.(*net.TCPConn))
		}()
	}
}

// join copies both ways until both have ended.
func join(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(a, b) // an end that is cut is an end
		_ = a.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(b, a)
	_ = b.CloseWrite()
	<-done
}

package testbed

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// port is a free TCP port of 127.0.0.1, held for a cluster's life by a socket that is bound but
// never listens. SO_REUSEPORT lets the cluster's own program listen on it beside us, while the
// kernel gives it to nobody else: neither between our choice and the program's start, nor while
// a test has the API server stopped. A connection to it is refused unless the program listens.
type port struct{ fd, number int }

func reservePort() (*port, error) { return reserve(unix.SO_REUSEPORT) }

// HeldPort gives a free TCP port of 127.0.0.1 for a server that starts later, or stops and starts
// again, and holds it until release is called. Go's listeners set SO_REUSEADDR, which lets one of
// them listen on a port that another socket is bound to and does not listen on; the kernel gives
// such a port to nobody who asks for any.
func HeldPort() (number int, release func(), err error) {
	p, err := reserve(unix.SO_REUSEADDR)
	if err != nil {
		return 0, nil, err
	}
	return p.number, p.release, nil
}

// HoldPort is HeldPort until the test ends.
func HoldPort(t testing.TB) int {
	t.Helper()
	number, release, err := HeldPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return number
}

// reserve makes a port that is shared by a socket option.
func reserve(shared int) (*port, error) {
	syscall.ForkLock.RLock() // no program may be started before the socket is marked and inherit it
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	p := &port{fd: fd}
	if err := p.bind(shared); err != nil {
		p.release()
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	return p, nil
}

func (p *port) bind(shared int) error {
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, shared, 1); err != nil {
		return err
	}
	if err := unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	name, err := unix.Getsockname(p.fd)
	if err != nil {
		return err
	}
	p.number = name.(*unix.SockaddrInet4).Port
	return nil
}

func (p *port) release() {
	if p != nil {
		_ = unix.Close(p.fd)
	}
}

func (p *port) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }

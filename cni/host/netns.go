//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// errInterrupted is a dump that something changed under: its answer may lack devices.
var errInterrupted = netlink.ErrDumpInterrupted

// open returns a handle on the namespace; the caller closes it.
func (n NetNS) open() (netns.NsHandle, error) {
	if n == Home {
		// A thread that is not held can be another call's, in a pod, between the asking for
		// its number and the opening of its namespace.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return netns.Get()
	}
	handle, err := netns.GetFromPath(string(n))
	return handle, noNetNS(err)
}

// within calls f with its thread in the namespace, for what the kernel asks of the thread
// and not of a socket. A thread that cannot come back ends with its goroutine: nobody else
// gets it.
func (n NetNS) within(f func() error) error {
	if n == Home {
		return f()
	}
	pod, err := ns.GetNS(string(n))
	if err != nil {
		return noNetNS(err)
	}
	defer pod.Close()
	return pod.Do(func(ns.NetNS) error { return f() })
}

// NetNSID implements Node. The inode of a namespace would not do: the next one gets it.
func (h *Host) NetNSID(_ context.Context, n NetNS) (id string, err error) {
	err = n.within(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if errors.Is(err, unix.ENOPROTOOPT) {
			return nil // an older kernel
		}
		id = strconv.FormatUint(cookie, 10)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("identifying network namespace %s: %w", n, err)
	}
	return id, nil
}

// noNetNS marks the errors of paths where no namespace is.
func noNetNS(err error) error {
	var gone ns.NSPathNotExistErr
	var other ns.NSPathNotNSErr
	if errors.As(err, &gone) || errors.As(err, &other) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// netlinkAt calls f with a handle whose sockets are in ns. The thread goes there for the
// opening of the sockets only.
func (h *Host) netlinkAt(n NetNS, family int, f func(*netlink.Handle) error) error {
	// By within: the library's own way there gives a thread back that could not return.
	var handle *netlink.Handle
	err := n.within(func() (err error) {
		handle, err = netlink.NewHandle(family)
		return err
	})
	if err != nil {
		return fmt.Errorf("opening a netlink socket in %s: %w", n, err)
	}
	defer handle.Close()
	return retry(func() error { return f(handle) })
}

// execute sends one rtnetlink request from ns.
func execute(n NetNS, req *nl.NetlinkRequest) ([][]byte, error) {
	var socket *nl.NetlinkSocket
	err := n.within(func() (err error) {
		socket, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket in %s: %w", n, err)
	}
	defer socket.Close()
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	return req.Execute(unix.NETLINK_ROUTE, 0)
}

// sysfsAt calls f with the path of a sysfs that shows the devices of ns. What sysfs
// shows was settled when it was mounted, so another namespace needs another mount; this
// one has no place in the tree and ends with its file.
func (h *Host) sysfsAt(n NetNS, f func(base string) error) error {
	if n == Home {
		return f(h.paths.Sysfs)
	}
	var mount *os.File
	err := n.within(func() (err error) {
		mount, err = mountSysfs()
		return err
	})
	if err != nil {
		return fmt.Errorf("mounting sysfs of %s: %w", n, err)
	}
	defer mount.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d", mount.Fd()))
}

func mountSysfs() (*os.File, error) {
	fd, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, err
	}
	mount, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(mount), "sysfs"), nil
}

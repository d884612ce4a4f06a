//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/test/lab/node/control"
)

// node serves the methods of control.Client.
type node struct{}

func (*node) Exec(c control.Command, out *control.Output) error {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	var err error
	out.Text, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out.Code = exit.ExitCode()
		return nil
	}
	return err
}

func (*node) Start(c control.Command, _ *control.None) error { return daemon(c.Log, c.Argv...) }

// endOfFile is as much of a file as a serial port carries in a moment.
const endOfFile = 64 << 10

func (*node) Read(pattern string, out *map[string][]byte) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it went just now
		}
		if err != nil {
			return err
		}
		(*out)[path] = text[max(0, len(text)-endOfFile):]
	}
	return err
}

func (*node) Write(f control.File, _ *control.None) error {
	if f.URL != "" {
		text, err := fetch(f.URL)
		if err != nil {
			return err
		}
		f.Text = text
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(f.Path, f.Text, os.FileMode(f.Mode)), os.Chmod(f.Path, os.FileMode(f.Mode)))
}

func fetch(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, text)
	}
	return text, err
}

func (*node) Load(m control.Module, _ *control.None) error { return load(m.Path, m.Args) }

func (*node) Become(i control.Identity, bootID *string) error {
	now := unix.NsecToTimeval(i.Now.UnixNano())
	err := errors.Join(
		unix.Settimeofday(&now),
		reseed(i.Seed),
		unix.Sethostname([]byte(i.Name)),
		os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost "+i.Name+"\n"), 0o644),
		address(i.Address, i.Gateway),
		startCPUs(),
	)
	if err != nil {
		return err
	}
	// A node that was restored has booted, for all that anybody can tell: the kernel makes up
	// its boot ID when it is read first, and nobody has before the snapshot.
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	*bootID = strings.TrimSpace(string(text))
	return err
}

// startCPUs sets all CPUs going but the first.
func startCPUs() error {
	switches, err := filepath.Glob("/sys/devices/system/cpu/cpu[1-9]*/online")
	for _, file := range switches {
		err = errors.Join(err, os.WriteFile(file, []byte("1"), 0o644))
	}
	return err
}

// reseed keeps two nodes of one snapshot from drawing the same random numbers.
func reseed(seed []byte) error {
	file, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	// struct rand_pool_info: bits, bytes, and then they.
	var info struct {
		bits, size int32
		seed       [64]byte
	}
	info.bits, info.size = int32(8*len(seed)), int32(len(seed))
	copy(info.seed[:], seed)
	for _, request := range []uintptr{unix.RNDADDENTROPY, unix.RNDRESEEDCRNG} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(unsafe.Pointer(&info))); errno != 0 {
			return fmt.Errorf("seeding the kernel's random numbers: %w", errno)
		}
	}
	return nil
}

// address sets up the one netdev that is not of a card of the lab's.
func address(cidr, gateway string) error {
	devices, _ := filepath.Glob("/sys/bus/virtio/drivers/virtio_net/*/net/*")
	if len(devices) != 1 {
		return fmt.Errorf("there are %d virtio netdevs", len(devices))
	}
	link, err := netlink.LinkByName(filepath.Base(devices[0]))
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.LinkSetUp(link), netlink.AddrReplace(link, addr)); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)})
}

//go:build linux

// Package cni plays the stories of cni/scenarios on the real kernel of the lab's guest:
// host.Host over the virtual HCA (fakeib), with real network namespaces, PCI functions,
// IPoIB and RDMA devices. What stands in for the world outside the kernel is the fabric
// (fakeib's debugfs), udev (udev.go) and the reboot (Reboot).
package cni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/cards"
)

const (
	debugfs   = "/sys/kernel/debug/fakeib"
	netnsDir  = "/var/run/netns"
	bootFile  = "/tmp/boot_id"
	driver    = cards.Driver
	vfsPerPF  = cards.PerPF
	smDelay   = 100 * time.Millisecond
	patience  = 2 * time.Minute // for what the kernel does in its own time
	firstGUID = 0x0011000000000000
)

// Lab is the guest as a node; it implements scenarios.Lab.
type Lab struct {
	t     *testing.T
	host  *host.Host
	cards []cards.Card
	fresh map[host.PCI]vfState // as they were after the last boot
	boots int
}

// New sets up the guest's cards. It needs the guest to itself, since the mode of the RDMA
// subsystem and the names of namespaces are the whole kernel's.
func New(t *testing.T) *Lab {
	l := &Lab{t: t, host: host.New(host.Paths{BootID: bootFile})}
	if err := l.setUp(); err != nil {
		t.Fatalf("setting up the lab: %v", err)
	}
	return l
}

func (l *Lab) setUp() error {
	if err := netlink.RdmaSystemSetNetnsMode("exclusive"); err != nil {
		return fmt.Errorf("setting the RDMA subsystem's mode to exclusive: %w", err)
	}
	if err := setSMDelay(smDelay); err != nil {
		return err
	}
	var err error
	if l.cards, err = cards.Find(); err != nil {
		return err
	}
	if err := l.startUdev(); err != nil {
		return fmt.Errorf("listening for netdevs: %w", err)
	}
	return l.powerOn()
}

// setSMDelay is how long the subnet manager takes to notice a port or a change.
func setSMDelay(d time.Duration) error {
	return os.WriteFile(filepath.Join(debugfs, "sm_delay"), fmt.Append(nil, d.Milliseconds()), 0)
}

// At hands the lab over to another test, which fails where the lab does.
func (l *Lab) At(t *testing.T) *Lab {
	l.t = t
	return l
}

// Slow implements scenarios.Slow: emulated, binding a function takes tenths of a second.
func (l *Lab) Slow() {}

// Kernel implements scenarios.Lab.
func (l *Lab) Kernel() host.Kernel { return l.host }

// VFs implements scenarios.Lab.
func (l *Lab) VFs() []host.PCI { return l.functions(false) }

// RoCE implements scenarios.Lab.
func (l *Lab) RoCE() []host.PCI { return l.functions(true) }

func (l *Lab) functions(ethernet bool) (vfs []host.PCI) {
	for _, c := range l.cards {
		if c.Ethernet == ethernet {
			vfs = append(vfs, c.VFs...)
		}
	}
	return vfs
}

// NewNetNS implements scenarios.Lab; a namespace of that name that is there already is
// the one.
func (l *Lab) NewNetNS(name string) host.NetNS {
	path := host.NetNS(filepath.Join(netnsDir, name))
	if has, err := l.host.HasNetNS(context.Background(), path); has && err == nil {
		return path
	}
	if err := newNamed(name); err != nil {
		l.t.Fatalf("making the network namespace %s: %v", name, err)
	}
	return path
}

// newNamed makes a namespace and comes back from it: a thread that stayed there would
// keep it, and its devices, for ever.
func newNamed(name string) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return err
	}
	defer home.Close()
	made, err := netns.NewNamed(name)
	if err != nil {
		return err
	}
	if err := errors.Join(made.Close(), netns.Set(home)); err != nil {
		return err // with the thread locked, so that nobody gets it
	}
	runtime.UnlockOSThread()
	return nil
}

// EndNetNS implements scenarios.Lab; one that is gone stays gone.
func (l *Lab) EndNetNS(ns host.NetNS) {
	err := netns.DeleteNamed(filepath.Base(string(ns)))
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
		l.t.Errorf("ending the network namespace %s: %v", ns, err)
	}
}

// Program implements scenarios.Lab. It returns when a port that has the GUID already
// shows the table.
func (l *Lab) Program(g guid.GUID, entries ...uint16) {
	line := fmt.Sprintf("%016x", uint64(g))
	for _, e := range entries {
		line += fmt.Sprintf(" %#04x", e)
	}
	if err := os.WriteFile(filepath.Join(debugfs, "sm"), []byte(line), 0); err != nil {
		l.t.Fatalf("telling the subnet manager of %s: %v", g, err)
	}
	if err := eventually("sweep of the port of "+g.String(), func() error { return swept(g) }); err != nil {
		l.t.Fatal(err)
	}
}

// swept fails while the subnet manager has yet to come to a port with this GUID.
func swept(g guid.GUID) error {
	ports, err := filepath.Glob(filepath.Join(debugfs, "*/port"))
	for _, port := range ports {
		text, readErr := os.ReadFile(port)
		if readErr != nil {
			continue // it went just now
		}
		if has := fmt.Sprintf("%016x ", uint64(g)); strings.HasPrefix(string(text), has) && strings.Contains(string(text), "waiting") {
			return errors.New("the subnet manager has not come yet")
		}
	}
	return err
}

// Reboot implements scenarios.Lab as far as it can be had within one boot: every
// namespace ends, every card loses what was set and is made anew, and the boot ID is
// another. The kernel itself stays.
func (l *Lab) Reboot() {
	l.EndAll()
	if err := l.powerOn(); err != nil {
		l.t.Fatalf("making the cards anew: %v", err)
	}
}

// Tidy is for between two stories: the next one finds the node as after boot, and a fabric
// that knows nothing. A reboot is the last means: binding all functions anew takes seconds.
func (l *Lab) Tidy() {
	l.EndAll()
	l.forget()
	if eventually("VFs", l.comeHome) != nil || l.repair() != nil || !maps.Equal(l.look(), l.fresh) {
		l.Reboot()
	}
}

// comeHome is allAtHome, with names once more for netdevs that were gone, or up, when udev came.
func (l *Lab) comeHome() error {
	err := l.allAtHome()
	if err != nil {
		renameAll()
	}
	return err
}

// repair gives the VFs that are not as after the boot what they had then, and binds them
// anew.
func (l *Lab) repair() error {
	ctx, now := context.Background(), l.look()
	for _, c := range l.cards {
		for j, pci := range c.VFs {
			was := l.fresh[pci]
			if now[pci] == was {
				continue
			}
			vf := host.VF{PF: c.PF, Index: j}
			err := l.host.SetVFLinkState(ctx, vf, was.config.LinkState)
			if c.Ethernet {
				err = errors.Join(err, l.host.SetVFEthernet(ctx, vf, was.config.Ethernet))
			} else {
				err = errors.Join(err, l.host.SetVFGUID(ctx, vf, was.config.NodeGUID, was.config.PortGUID))
			}
			if err := errors.Join(err, l.host.Unbind(ctx, pci), l.host.Bind(ctx, pci, driver)); err != nil {
				return err
			}
		}
	}
	return eventually("VFs with their names", l.allAtHome)
}

// forget takes all tables from the subnet manager.
func (l *Lab) forget() {
	tables, err := os.ReadFile(filepath.Join(debugfs, "sm"))
	for line := range strings.Lines(string(tables)) {
		g, _, _ := strings.Cut(line, " ")
		err = errors.Join(err, os.WriteFile(filepath.Join(debugfs, "sm"), []byte(strings.TrimSpace(g)), 0))
	}
	if err != nil {
		l.t.Errorf("emptying the subnet manager's tables: %v", err)
	}
}

// EndAll ends every namespace.
func (l *Lab) EndAll() {
	paths, _ := filepath.Glob(filepath.Join(netnsDir, "*"))
	for _, path := range paths {
		l.EndNetNS(host.NetNS(path))
	}
}

// eventually waits for what the kernel does in its own time.
func eventually(what string, done func() error) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = done(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: still not after %v: %w", what, patience, err)
}

// release is the kernel's, as uname -r gives it.
func release() (string, error) {
	var name unix.Utsname
	err := unix.Uname(&name)
	return strings.TrimRight(string(name.Release[:]), "\x00"), err
}

//go:build linux

package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the kernel that the program runs on. The program must run in the host's
// network namespace, as CNI plugins do.
type Host struct{ paths Paths }

var _ Kernel = (*Host)(nil)

// Paths are where the kernel shows itself; tests point them elsewhere.
type Paths struct {
	Sysfs  string // /sys
	BootID string // /proc/sys/kernel/random/boot_id
}

// New is a Host; paths that are empty are the kernel's own.
func New(paths Paths) *Host {
	return &Host{Paths{
		Sysfs:  cmp.Or(paths.Sysfs, "/sys"),
		BootID: cmp.Or(paths.BootID, "/proc/sys/kernel/random/boot_id"),
	}}
}

// BootID implements Node.
func (h *Host) BootID(context.Context) (string, error) {
	text, err := os.ReadFile(h.paths.BootID)
	if err != nil {
		return "", fmt.Errorf("reading the boot ID: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// HasNetNS implements Node.
func (h *Host) HasNetNS(_ context.Context, ns NetNS) (bool, error) {
	if ns == Home {
		return true, nil
	}
	var stat unix.Statfs_t
	err := retry(func() error { return unix.Statfs(string(ns), &stat) })
	switch {
	// ESRCH is /proc/<pid>/ns/net of a process that has just ended.
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ESRCH):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking at network namespace %s: %w", ns, err)
	}
	// A path whose mount has gone is an empty file.
	return stat.Type == unix.NSFS_MAGIC || stat.Type == unix.PROC_SUPER_MAGIC, nil
}

// SeesNetNS implements Node.
func (h *Host) SeesNetNS(ctx context.Context, ns NetNS) (bool, error) {
	if there, err := h.HasNetNS(ctx, ns); there || err != nil {
		return there, err
	}
	if strings.HasPrefix(string(ns), "/proc/") {
		// The folder goes with the process. Who is among the node's processes sees them all.
		own, err := os.Readlink("/proc/self/ns/pid")
		return own == nodesPIDs, err
	}
	if _, err := os.Lstat(string(ns)); err == nil {
		return false, nil // a file: perhaps its mount does not come here, for want of propagation
	}
	_, err := os.Stat(filepath.Dir(string(ns)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the folder of network namespace %s: %w", ns, err)
	}
	return true, nil
}

// nodesPIDs is the PID namespace that a kernel begins with (PROC_PID_INIT_INO).
const nodesPIDs = "pid:[4026531836]"

// Booted is about when the node did.
func Booted(now time.Time) (time.Time, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return time.Time{}, fmt.Errorf("asking how long the node has been up: %w", err)
	}
	return now.Add(-time.Duration(info.Uptime) * time.Second), nil
}

// retry repeats a call that a signal, or a change during a dump, interrupted. Twenty are
// plenty: on a node where many VFs are rebound at once a dump is cut off now and then,
// not every time.
func retry(call func() error) error {
	var err error
	for range 20 {
		if err = call(); !errors.Is(err, unix.EINTR) && !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

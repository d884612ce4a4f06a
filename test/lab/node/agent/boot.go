//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newRoot puts the initramfs on top of itself: runc's pivot_root needs a root that is
// mounted on something.
func newRoot() error {
	const root = "/run/root"
	return errors.Join(
		os.MkdirAll(root, 0o755),
		unix.Mount("/", root, "", unix.MS_BIND, ""),
		os.Chdir(root),
		unix.Mount(".", "/", "", unix.MS_MOVE, ""),
		unix.Chroot("."),
		os.Chdir("/"),
	)
}

// boot does what a node's boot does with its file systems mounted, up to containerd with its images.
func boot() error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"modules", loadAll}, {"network", network}, {"containerd", containerd}, {"images", images},
	} {
		begun := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("lab node: %s in %s\n", step.name, time.Since(begun).Round(100*time.Millisecond))
	}
	return nil
}

// mountAll gives /var a file system of its own, with a name of its own: the kubelet looks
// for the one that its folder is on, and knows no root file system of an initramfs.
func mountAll() error {
	for _, m := range []struct{ source, target, kind string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"devpts", "/dev/pts", "devpts"}, {"shm", "/dev/shm", "tmpfs"}, {"debugfs", "/sys/kernel/debug", "debugfs"},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2"}, {"run", "/run", "tmpfs"}, {"tmp", "/tmp", "tmpfs"}, {"var", "/var", "tmpfs"},
	} {
		if err := errors.Join(os.MkdirAll(m.target, 0o755), unix.Mount(m.source, m.target, m.kind, 0, "")); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	for _, dir := range []string{"/run/netns", "/run/lock", "/var/log/pods", "/var/lib/kubelet", "/var/lib/containerd", "/etc/cni/net.d", "/root"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(os.Symlink("/run", "/var/run"), unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
}

func loadAll() error {
	files, err := filepath.Glob("/lab/modules/*") // sorted: in the order to load
	for _, file := range files {
		if err := load(file, ""); err != nil {
			return fmt.Errorf("loading %s: %w", file, err)
		}
	}
	return err
}

// load loads a module, unless it is there.
func load(path, args string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), args, 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// network is what needs no address. The RDMA subsystem's mode can be set while there is no
// network namespace but the first.
func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(
		netlink.LinkSetUp(lo),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
		netlink.RdmaSystemSetNetnsMode("exclusive"),
	)
}

func containerd() error {
	if err := daemon("/var/log/containerd.log", "containerd", "--config", "/lab/containerd.toml"); err != nil {
		return err
	}
	var err error
	for range 600 {
		if err = ctr("version"); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func images() error {
	files, err := filepath.Glob("/lab/images/*.tar")
	for _, file := range files {
		if err := ctr("images", "import", file); err != nil {
			return err
		}
	}
	return err
}

func ctr(words ...string) error {
	var text bytes.Buffer
	cmd := exec.Command("ctr", append([]string{"--namespace", "k8s.io"}, words...)...)
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile("/var/log/containerd.log")
		return fmt.Errorf("ctr %s: %w: %s; containerd's log ends:\n%s", strings.Join(words, " "), err, &text, log[max(0, len(log)-2000):])
	}
	return nil
}

// daemon starts a program that goes on.
func daemon(log string, argv ...string) error {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close() // the program has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		err := cmd.Wait()
		fmt.Printf("lab node: %s ended: %v\n", argv[0], err)
	}()
	return nil
}

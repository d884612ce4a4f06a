//go:build linux

package guest

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
)

// System is a guest that stays up, with a first program and files of its own. All of it must
// be the same when it is restored, but for Network.
type System struct {
	Image string // file of an initramfs, see [Image]; its /init is the first program
	// CPUs that there are; 0: one. All but the first are off until the guest sets them going,
	// with a 1 into /sys/devices/system/cpu/cpu1/online and so on. Do it after a restore: a
	// second CPU that was saved at work has come back without its timer's interrupt.
	CPUs    int
	Memory  int // MiB; 0: 1024
	Cards   int // PFs with seven VFs each
	Network int // of the guest: 10.0.N.0/24, where this machine is 10.0.N.2; 0: 2
}

// userNetwork is what QEMU calls the guest's network.
const userNetwork = "out"

// arguments are QEMU's. Its own numbers of the files that it inherits are 3 to 6.
func (s System) arguments(kernel string) []string {
	network := fmt.Sprintf("10.0.%d", cmp.Or(s.Network, 2))
	args := append(hardware(cmp.Or(s.CPUs, 1), cmp.Or(s.Memory, 1024), kernel, s.Image),
		"-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
		"-chardev", "socket,id=control,fd=4", "-serial", "chardev:control",
		"-chardev", "socket,id=line,fd=5", "-device", "isa-serial,chardev=line,index=2,irq=5",
		"-chardev", "socket,id=monitor,fd=6", "-mon", "chardev=monitor,mode=control",
		"-netdev", fmt.Sprintf("user,id=%s,net=%[2]s.0/24,host=%[2]s.2", userNetwork, network), "-device", "virtio-net-pci,netdev=out,romfile=")
	return append(args, cards(s.Cards)...)
}

// Modules are the files of the kernel's modules and then the caller's, in the order to load
// them.
func (m *Machine) Modules() []string { return slices.Clone(m.modules) }

// Basis is another where a snapshot of a system could not be restored, for reasons beside its
// image: the kernel, QEMU, or the hardware that it gives.
func (m *Machine) Basis(s System) (string, error) {
	s.Image, s.Network = "", 0
	i := slices.IndexFunc(m.qemu, func(word string) bool { return strings.HasSuffix(word, "/qemu-system-x86_64") })
	if i < 0 {
		return "", fmt.Errorf("there is no QEMU in %q", m.qemu)
	}
	program, err := os.ReadFile(m.qemu[i])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x %q", sha256.Sum256(program), s.arguments(m.kernel)), nil
}

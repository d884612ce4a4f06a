package node

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/cni/host"
)

// Vendors by their PCI number.
const (
	mellanox = 0x15b3
	nvidia   = 0x10de
)

// function is a PCI function by what its folder says without asking the device.
type function struct {
	pci            host.PCI
	dir            string
	vendor, device uint64
	class          uint64 // 24 bits: 0x020700 is an InfiniBand controller
	vf             bool
}

// functions lists the PCI bus. A function that goes while it is looked at is left out.
func (p Paths) functions() ([]function, error) {
	root := filepath.Join(p.Sysfs, "bus/pci/devices")
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var list []function
	for _, e := range entries {
		pci, err := host.ParsePCI(e.Name())
		if err != nil {
			continue
		}
		f := function{pci: pci, dir: filepath.Join(root, e.Name())}
		var errs [3]error
		f.vendor, errs[0] = number(filepath.Join(f.dir, "vendor"))
		f.device, errs[1] = number(filepath.Join(f.dir, "device"))
		f.class, errs[2] = number(filepath.Join(f.dir, "class"))
		for _, err := range errs {
			if err != nil && !os.IsNotExist(err) {
				return nil, err
			}
		}
		_, err = os.Lstat(filepath.Join(f.dir, "physfn"))
		f.vf = err == nil
		list = append(list, f)
	}
	return list, nil
}

// isCard reports whether the function is a card for RDMA: one that has an RDMA device, or
// of the vendor and kind that should have.
func (f function) isCard() bool {
	if f.vf {
		return false
	}
	if f.class>>8 == 0x0207 {
		return true
	}
	if entries, err := os.ReadDir(filepath.Join(f.dir, "infiniband")); err == nil && len(entries) > 0 {
		return true
	}
	return f.vendor == mellanox && f.class>>8 == 0x0200
}

func gpus(functions []function) int {
	n := 0
	for _, f := range functions {
		if f.vendor == nvidia && f.class>>16 == 0x03 && !f.vf {
			n++
		}
	}
	return n
}

// Bridges counts PCI bridges, and those whose access control (ACS) sends what one device
// writes to another up to the root and back.
type Bridges struct{ All, Redirecting int }

func (p Paths) bridges(functions []function) (Bridges, error) {
	var b Bridges
	for _, f := range functions {
		if f.class>>8 != 0x0604 {
			continue
		}
		b.All++
		config, err := os.ReadFile(filepath.Join(f.dir, "config"))
		if err != nil {
			return b, err
		}
		if len(config) <= 0x100 { // others than root see 64 bytes
			return b, os.ErrPermission
		}
		if redirects(config) {
			b.Redirecting++
		}
	}
	return b, nil
}

// redirects finds the ACS capability (PCI Express Base Specification, 7.7.11) and reads
// from its control register whether requests or completions are redirected.
func redirects(config []byte) bool {
	const acs, control, redirect = 0x000d, 6, 1<<2 | 1<<3
	at := 0x100
	for range len(config) / 4 { // a broken list may go round
		if at < 0x100 || at+8 > len(config) {
			return false
		}
		header := binary.LittleEndian.Uint32(config[at:])
		if header&0xffff == acs {
			return binary.LittleEndian.Uint16(config[at+control:])&redirect != 0
		}
		at = int(header >> 20)
	}
	return false
}

// number reads hex with 0x before it, or decimal digits.
func number(path string) (uint64, error) {
	s, err := text(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(s), 0, 64)
}

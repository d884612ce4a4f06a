package host

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ibfabric/ibfabric/guid"
)

func functionDir(sysfs string, pci PCI) string {
	if !strings.Contains(string(pci), ":") {
		return filepath.Join(sysfs, "bus/auxiliary/devices", string(pci))
	}
	return filepath.Join(sysfs, "bus/pci/devices", string(pci))
}

// readDevice describes a function from its folder.
func readDevice(sysfs string, pci PCI) (Device, error) {
	dir := functionDir(sysfs, pci)
	if _, err := os.Lstat(dir); err != nil {
		return Device{}, fmt.Errorf("PCI device %s: %w", pci, notFound(err))
	}
	d := Device{PCI: pci}
	driver, err := linkBase(filepath.Join(dir, "driver"))
	if err != nil {
		return d, fmt.Errorf("reading the driver of %s: %w", pci, err)
	}
	d.Driver = driver
	pf, err := linkBase(filepath.Join(dir, "physfn"))
	if err != nil || pf == "" {
		return d, err
	}
	if d.VF.PF, err = ParsePCI(pf); err != nil {
		return d, fmt.Errorf("reading the PF of %s: %w", pci, err)
	}
	d.VF.Index, err = vfIndex(sysfs, d.VF.PF, pci)
	return d, err
}

// vfIndex finds the number under which the PF lists the VF.
func vfIndex(sysfs string, pf, vf PCI) (int, error) {
	// Not from its address: how VFs are numbered from their PF's is up to the card.
	links, err := filepath.Glob(filepath.Join(functionDir(sysfs, pf), "virtfn*"))
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || filepath.Base(target) != string(vf) {
			continue
		}
		return strconv.Atoi(strings.TrimPrefix(filepath.Base(link), "virtfn"))
	}
	return 0, fmt.Errorf("PF %s does not list VF %s: %w", pf, vf, ErrNotFound)
}

// linkBase is the last part of what a link points to, "" where there is no link.
func linkBase(path string) (string, error) {
	target, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return filepath.Base(target), nil
}

// netdevIndex finds the ifindex of a function's netdev. One that hangs on another (iflink),
// as some drivers' IPoIB children in the same folder, is not it; a function with two ports
// has a netdev for each, of which the first counts.
func netdevIndex(sysfs string, pci PCI) (index int, err error) {
	dir := filepath.Join(functionDir(sysfs, pci), "net")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("netdev of %s: %w", pci, notFound(err))
	}
	for _, e := range entries {
		own, err := readInt(filepath.Join(dir, e.Name(), "ifindex"))
		if err != nil {
			return 0, fmt.Errorf("netdev of %s: %w", pci, err)
		}
		parent, err := readInt(filepath.Join(dir, e.Name(), "iflink"))
		switch {
		case err != nil:
			return 0, fmt.Errorf("netdev of %s: %w", pci, err)
		case parent == own && (index == 0 || own < index):
			index = own
		}
	}
	if index == 0 {
		return 0, fmt.Errorf("netdev of %s: %w", pci, ErrNotFound)
	}
	return index, nil
}

// rdmaName finds the name of a function's RDMA device; two are one too many to choose. A
// device that is renamed during the listing can be in it under both names, but not for long.
func rdmaName(sysfs string, pci PCI) (string, error) {
	var entries []os.DirEntry
	var err error
	for range 5 {
		entries, err = os.ReadDir(filepath.Join(functionDir(sysfs, pci), "infiniband"))
		if err != nil || len(entries) <= 1 {
			break
		}
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("RDMA device of %s: %w", pci, notFound(err))
	case len(entries) == 0:
		return "", fmt.Errorf("RDMA device of %s: %w", pci, ErrNotFound)
	case len(entries) > 1:
		return "", fmt.Errorf("RDMA device of %s: there are %d, want one", pci, len(entries))
	}
	return entries[0].Name(), nil
}

// readPort reads port 1 of the function's RDMA device.
func readPort(sysfs string, pci PCI) (Port, error) {
	name, err := rdmaName(sysfs, pci)
	if err != nil {
		return Port{}, err
	}
	dir := filepath.Join(functionDir(sysfs, pci), "infiniband", name)
	p, err := portIn(dir)
	if err != nil {
		return p, fmt.Errorf("port of %s (%s): %w", pci, name, notFound(err))
	}
	return p, nil
}

func portIn(dir string) (p Port, err error) {
	if p.NodeGUID, err = readGUID(filepath.Join(dir, "node_guid"), 0); err != nil {
		return p, err
	}
	port := filepath.Join(dir, "ports/1")
	layer, err := readText(filepath.Join(port, "link_layer"))
	if err != nil {
		return p, err
	}
	// A RoCE port has the same files, but PKeys and LID in them are nobody's word.
	p.Ethernet = layer == "Ethernet"
	state, err := readText(filepath.Join(port, "state")) // 4: ACTIVE
	if err != nil {
		return p, err
	}
	number, _, _ := strings.Cut(state, ":")
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return p, fmt.Errorf("state %q: %w", state, err)
	}
	p.State = PortState(n)
	if p.Ethernet {
		return p, nil
	}
	if p.GUID, err = readGUID(filepath.Join(port, "gids/0"), 8); err != nil {
		return p, err
	}
	if p.LID, err = readHex16(filepath.Join(port, "lid")); err != nil {
		return p, err
	}
	p.PKeys, err = readPKeys(filepath.Join(port, "pkeys"))
	return p, err
}

// readPKeys reads the table in the order of its indices, the empty rest cut off.
func readPKeys(dir string) ([]uint16, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	// The folder lists 10 before 2.
	table, used := make([]uint16, len(entries)), 0
	for _, e := range entries {
		i, err := strconv.Atoi(e.Name())
		if err != nil || i < 0 || i >= len(table) {
			continue
		}
		if table[i], err = readHex16(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
		if table[i] != 0 {
			used = max(used, i+1)
		}
	}
	return table[:used], nil
}

// readGUID reads groups of hex with colons between and takes the eight bytes at from.
// Zeros and ones are values here, not errors.
func readGUID(path string, from int) (guid.GUID, error) {
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	bytes, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(bytes) != from+8 {
		return 0, fmt.Errorf("%s holds %q, which is no GUID", filepath.Base(path), text)
	}
	var g guid.GUID
	for _, b := range bytes[from:] {
		g = g<<8 | guid.GUID(b)
	}
	return g, nil
}

func readText(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(bytes.TrimSpace(text)), err
}

func readInt(path string) (int, error) {
	text, err := readText(path)
	if err != nil {
		return 0, notFound(err)
	}
	return strconv.Atoi(text)
}

func readHex16(path string) (uint16, error) {
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 16)
	return uint16(v), err
}

// notFound marks the errors that sysfs gives for what is not, or no longer, there.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	}
	return err
}

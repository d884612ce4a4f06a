// Package seen is what a program sees of RDMA where it runs: a pod, or the node itself.
package seen

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Seen is what there is in this network namespace, and in its /dev.
type Seen struct {
	Devices []Device // by name
	Netdevs []Netdev
	Files   []string // in /dev/infiniband
	VFs     []string // that the device plugin handed out, by PCI address
}

// Device is an RDMA device with its one port.
type Device struct {
	Name      string
	LinkLayer string
	State     string   // as the kernel writes it: "4: ACTIVE"
	GID       string   // the first of its table
	PKeys     []uint16 // its table without what is empty, as OpenSM counts: the top bit is full membership
}

// Netdev is a network interface.
type Netdev struct {
	Name, Address string
	IPs           []string
}

// Look reads it all under a root folder.
func Look(root string) (Seen, error) {
	var s Seen
	class := filepath.Join(root, "sys/class/infiniband")
	names, err := os.ReadDir(class)
	if err != nil && !os.IsNotExist(err) {
		return s, err
	}
	for _, name := range names {
		d, err := device(filepath.Join(class, name.Name()))
		if err != nil {
			return s, err
		}
		s.Devices = append(s.Devices, d)
	}
	files, err := os.ReadDir(filepath.Join(root, "dev/infiniband"))
	if err != nil && !os.IsNotExist(err) {
		return s, err
	}
	for _, file := range files {
		s.Files = append(s.Files, file.Name())
	}
	if vfs := os.Getenv("LAB_VFS"); vfs != "" {
		s.VFs = strings.Split(vfs, ",")
	}
	s.Netdevs, err = netdevs()
	return s, err
}

func device(dir string) (Device, error) {
	d := Device{Name: filepath.Base(dir)}
	for name, to := range map[string]*string{"link_layer": &d.LinkLayer, "state": &d.State, "gids/0": &d.GID} {
		text, err := os.ReadFile(filepath.Join(dir, "ports/1", name))
		if err != nil {
			return d, err
		}
		*to = strings.TrimSpace(string(text))
	}
	files, err := filepath.Glob(filepath.Join(dir, "ports/1/pkeys/*"))
	if err != nil {
		return d, err
	}
	table := map[int]uint16{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return d, err
		}
		entry, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 16)
		if err != nil {
			return d, fmt.Errorf("%s: %w", file, err)
		}
		index, err := strconv.Atoi(filepath.Base(file))
		if err != nil {
			return d, err
		}
		if entry != 0 {
			table[index] = uint16(entry)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(table)) {
		d.PKeys = append(d.PKeys, table[index])
	}
	return d, nil
}

func netdevs() (list []Netdev, err error) {
	links, err := net.Interfaces()
	for _, link := range links {
		n := Netdev{Name: link.Name, Address: link.HardwareAddr.String()}
		addresses, err := link.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			n.IPs = append(n.IPs, a.String())
		}
		list = append(list, n)
	}
	return list, err
}

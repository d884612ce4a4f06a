package fabric

import (
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// Topology is a fabric of leaf and spine switches. Each host has a PF, and its VFs as
// HCAs of their own on the same leaf: neither OpenSM nor ibsim knows virtual ports.
type Topology struct {
	Leaves, Spines int
	Hosts          int // on each leaf
	VFs            int // on each host
}

// SM is the port that OpenSM runs on, on the first leaf.
const SM = "sm"

// Port is a port of an HCA, by ibsim's name of the HCA.
type Port struct {
	Name string
	GUID guid.GUID // at the start; the node GUID is one less, as ibsim needs it
}

// HostName names the PF of a host, counted through all leaves from 0.
func HostName(host int) string { return fmt.Sprintf("host%d", host) }

// VFName names a VF of a host, both counted from 0.
func VFName(host, vf int) string { return fmt.Sprintf("host%d-vf%d", host, vf) }

// GUIDs of the parts, far from those that pods are given.
const (
	smGUID     guid.GUID = 0xb8ce_f603_00ff_0001
	switchGUID guid.GUID = 0xb8ce_f603_00a0_0000
	pfGUID     guid.GUID = 0xb8ce_f603_0100_0001
	vfGUID     guid.GUID = 0x02fe_0000_0000_0001
)

// VFPort is a VF as it is at the start.
func (t Topology) VFPort(host, vf int) Port {
	return Port{VFName(host, vf), vfGUID + guid.GUID(16*(host*t.VFs+vf))}
}

// leafPorts are the HCAs on one leaf, in the order of its ports.
func (t Topology) leafPorts(leaf int) []Port {
	var ports []Port
	if leaf == 0 {
		ports = append(ports, Port{SM, smGUID})
	}
	for host := leaf * t.Hosts; host < (leaf+1)*t.Hosts; host++ {
		ports = append(ports, Port{HostName(host), pfGUID + guid.GUID(16*host)})
		for vf := range t.VFs {
			ports = append(ports, t.VFPort(host, vf))
		}
	}
	return ports
}

// hcas is how many there are, OpenSM's own among them.
func (t Topology) hcas() int { return 1 + t.Leaves*t.Hosts*(1+t.VFs) }

// net is the fabric as ibsim reads it.
func (t Topology) net() string {
	var b strings.Builder
	down := 1 + t.Hosts*(1+t.VFs) // ports for HCAs; those for spines come behind
	number := switchGUID
	begin := func(ports int, name string) {
		fmt.Fprintf(&b, "switchguid=0x%s\nSwitch %d %q\n", number.Hex(), ports, name)
		number++
	}
	for leaf := range t.Leaves {
		begin(down+t.Spines, fmt.Sprintf("leaf%d", leaf))
		for i, p := range t.leafPorts(leaf) {
			fmt.Fprintf(&b, "[%d] %q[1]\n", i+1, p.Name)
		}
		for spine := range t.Spines {
			fmt.Fprintf(&b, "[%d] \"spine%d\"[%d]\n", down+spine+1, spine, leaf+1)
		}
		b.WriteByte('\n')
	}
	for spine := range t.Spines {
		begin(t.Leaves, fmt.Sprintf("spine%d", spine))
		for leaf := range t.Leaves {
			fmt.Fprintf(&b, "[%d] \"leaf%d\"[%d]\n", leaf+1, leaf, down+spine+1)
		}
		b.WriteByte('\n')
	}
	for leaf := range t.Leaves {
		for i, p := range t.leafPorts(leaf) {
			fmt.Fprintf(&b, "caguid=0x%s\nHca 1 %q\n[1](%s) \"leaf%d\"[%d]\n\n", (p.GUID - 1).Hex(), p.Name, p.GUID.Hex(), leaf, i+1)
		}
	}
	return b.String()
}

// limits are ibsim's, which has room for a small fabric when it is told nothing.
func (t Topology) limits() []string {
	switches := t.Leaves + t.Spines
	ports := t.hcas() + t.Leaves*(2+t.Hosts*(1+t.VFs)+t.Spines) + t.Spines*(t.Leaves+1)
	return []string{
		"-N", fmt.Sprint(t.hcas() + switches + 8), "-S", fmt.Sprint(switches + 8), "-P", fmt.Sprint(ports + 64),
	}
}

// Package vfs is what the lab asks of a node's VFs, as seen from the node's own namespace.
package vfs

import "github.com/ibfabric/ibfabric/guid"

// VF is one of a node's. What is away, in a pod, is not there.
type VF struct {
	PCI, PF            string
	Ethernet           bool
	NodeGUID, PortGUID guid.GUID // as the PF holds them
	MAC                string    // the same, of an Ethernet one
	VLAN               int
	HasRDMA            bool
	Port               guid.GUID // of the RDMA device's port
	HasNetdev, Up      bool
}

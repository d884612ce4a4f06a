package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ibfabric/ibfabric/guid"
)

// Names of steps that an incumbent's cache file stands for. The plugins use the same.
const (
	StepDevice    = "device"
	StepLinkState = "link-state"
	StepGUID      = "guid"
	StepSettings  = "settings" // of an Ethernet VF's netdev
	StepEthernet  = "ethernet"
	StepRDMA      = "rdma"
	StepNetdev    = "netdev"
	StepIPAM      = "ipam"
)

// Incumbents are the folders of the plugins that ibfabric takes the place of.
type Incumbents struct {
	IBSriov string // /var/lib/cni/ib-sriov
	Sriov   string // /var/lib/cni/sriov
	RDMA    string // /var/lib/cni/rdma
	Results string // /var/lib/cni/results: of the CNI library in the runtime
}

// common is what both write; the rest of their files is configuration.
type common struct {
	Name      string          `json:"name"`
	DeviceID  string          `json:"deviceID"`
	LinkState string          `json:"link_state"`
	IPAM      json.RawMessage `json:"ipam"`
}

func (c common) hasIPAM() bool {
	var ipam struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(c.IPAM, &ipam) == nil && ipam.Type != ""
}

// FromIBSriov reads what ib-sriov-cni remembers of an attachment; nil when nothing. Only
// what the device was like before is taken from it. Which VF it is about follows from
// the PCI address, not from the file: a network can write into the file's other fields.
func (i Incumbents) FromIBSriov(k Key) (*Record, error) {
	var cache struct {
		common
		HostIFNames   string
		HostIFGUID    string
		RDMAIsolation bool `json:"rdmaIsolation"`
		VFIO          bool `json:"vfioPciMode"`
	}
	r, err := readCache(i.IBSriov, k, &cache)
	if r == nil || err != nil {
		return r, err
	}
	r.Plugin, r.Network, r.Device = "ib-sriov", cache.Name, cache.DeviceID
	r.Original = Original{Name: cache.HostIFNames, LinkState: "auto"}
	r.Steps = []string{StepDevice}
	if cache.LinkState != "" {
		r.Steps = append(r.Steps, StepLinkState)
	}
	if cache.HostIFGUID != "" {
		// Of zeros, ones and what is no GUID at all the caller makes the same: no GUID.
		g, _ := guid.Parse(cache.HostIFGUID)
		r.Original.NodeGUID, r.Original.PortGUID = GUID(g), GUID(g)
		r.Steps = append(r.Steps, StepGUID)
	}
	if cache.VFIO {
		return r, nil
	}
	if cache.RDMAIsolation {
		r.Steps = append(r.Steps, StepRDMA)
	}
	r.Steps = append(r.Steps, StepNetdev)
	if cache.hasIPAM() {
		r.Steps = append(r.Steps, StepIPAM)
	}
	return r, nil
}

// FromSriov reads what sriov-cni remembers of an attachment; nil when nothing.
func (i Incumbents) FromSriov(k Key) (*Record, error) {
	var cache struct {
		common
		DPDKMode    bool
		OrigVfState struct {
			HostIFName             string
			SpoofChk, Trust        bool
			AdminMAC, EffectiveMAC string
			Vlan, VlanQoS          int
			VlanProto              int
			MinTxRate, MaxTxRate   int
			LinkState              uint32
			MTU                    int
		}
	}
	r, err := readCache(i.Sriov, k, &cache)
	if r == nil || err != nil {
		return r, err
	}
	// Its mark that the device is taken goes with the record.
	if name := filepath.Base(cache.DeviceID); name == cache.DeviceID && name != "." && name != ".." {
		r.files = append(r.files, filepath.Join(i.Sriov, "pci", name))
	}
	was := cache.OrigVfState
	if was.HostIFName == "" && !cache.DPDKMode {
		// Written by a release that did not look first: what it does not say stays.
		r.Plugin, r.Network, r.Device, r.Steps = "sriov", cache.Name, cache.DeviceID, []string{StepDevice, StepNetdev}
		r.Original.NetdevOnly = true
		return r, nil
	}
	r.Plugin, r.Network, r.Device = "sriov", cache.Name, cache.DeviceID
	r.Original = Original{Name: was.HostIFName, LinkState: linkState(was.LinkState), NetdevOnly: true, Ethernet: &Ethernet{
		AdminMAC: was.AdminMAC, EffectiveMAC: was.EffectiveMAC, VLAN: was.Vlan, VLANQoS: was.VlanQoS,
		VLANProto: was.VlanProto, MinTxRate: was.MinTxRate, MaxTxRate: was.MaxTxRate,
		SpoofCheck: was.SpoofChk, Trust: was.Trust, MTU: was.MTU,
	}}
	r.Steps = []string{StepDevice, StepEthernet}
	if cache.LinkState != "" {
		r.Steps = append(r.Steps, StepLinkState)
	}
	if !cache.DPDKMode {
		r.Steps = append(r.Steps, StepSettings, StepNetdev)
	}
	if cache.hasIPAM() {
		r.Steps = append(r.Steps, StepIPAM)
	}
	return r, nil
}

func linkState(n uint32) string {
	return map[uint32]string{0: "auto", 1: "enable", 2: "disable"}[n] // anything else: left as it is
}

// FromRDMA reads what rdma-cni remembers of an attachment to a network; nil when nothing.
func (i Incumbents) FromRDMA(network string, k Key) (*Record, error) {
	var cache struct {
		DeviceID string `json:"deviceID"`
	}
	named := k
	named.ContainerID = network + "-" + k.ContainerID // as the file is called
	r, err := readCache(i.RDMA, named, &cache)
	if r == nil || err != nil {
		return r, err
	}
	r.ContainerID = k.ContainerID
	r.Plugin, r.Network, r.Device, r.Steps, r.Config = "rdma", network, cache.DeviceID, []string{StepRDMA}, nil
	return r, nil
}

// readCache reads <dir>/<container>-<interface>, where both keep their files.
func readCache(dir string, k Key, into any) (*Record, error) {
	if dir == "" {
		return nil, nil
	}
	file := filepath.Join(dir, filepath.Base(k.ContainerID+"-"+k.IfName))
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := &Record{ContainerID: k.ContainerID, IfName: k.IfName, Ready: true, files: []string{file}}
	if err == nil {
		r.written, err = writtenAt(file)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cache file %s: %w", file, err)
	}
	r.Config = text
	return r, nil
}

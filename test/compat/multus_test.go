//go:build linux

package compat

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

// infiniband is the resource whose devices are VFs of InfiniBand cards.
const infiniband = "example.com/ib"

func multusRows() []row {
	multus := peer{name: "Multus", pin: "test/testbed/tools/multus", path: "gopkg.in/k8snetworkplumbingwg/multus-cni.v4"}
	const file = "multus_test.go"
	return []row{
		{multus, "calls our plugin with the device, GUID and PKey that the controller allocated, as a capability, as cni-args and in a chain", file, multusHandsOn, ""},
		{multus, "passes on why a pod has no fabric yet, and leaves nothing of it", file, multusSaysWhy, ""},
	}
}

func multusHandsOn(t *testing.T, w *world) {
	ns, n := w.bed.Namespace(t), w.node(t)
	w.network(ns, "capability", infiniband, `{"cniVersion":"1.0.0","name":"capability","type":"ib-sriov","pkey":"0x101","rdmaIsolation":true,"ibKubernetesEnabled":true,"capabilities":{"infinibandGUID":true}}`)
	w.network(ns, "plain", infiniband, `{"cniVersion":"0.3.1","name":"plain","type":"ib-sriov","pkey":"0x102","rdmaIsolation":true,"ibKubernetesEnabled":true}`)
	w.network(ns, "chain", infiniband, `{"cniVersion":"1.0.0","name":"chain","plugins":[{"type":"ib-sriov","pkey":"0x103","rdmaIsolation":true,"ibKubernetesEnabled":true},{"type":"`+passPlugin+`"}]}`)
	pod := w.served(ns, "train", "capability,"+ns+"/plain@rail2,chain", 3)
	s := n.sandbox(pod, map[string][]host.PCI{infiniband: n.ib[:3]})
	n.mustMultus(s, "ADD")

	adds := n.of("ib-sriov", "ADD")
	if len(adds) != 3 {
		t.Fatalf("%d ADDs of ib-sriov, want 3", len(adds))
	}
	for i, want := range []struct {
		ifname, pkey, guid string
	}{{"net1", "0x101", w.only(0x101)}, {"rail2", "0x102", w.only(0x102)}, {"net3", "0x103", w.only(0x103)}} {
		got := n.config(adds[i])
		if adds[i].Env["CNI_IFNAME"] != want.ifname || got.DeviceID != string(n.ib[i]) {
			t.Errorf("%s has device %s, want %s with %s", adds[i].Env["CNI_IFNAME"], got.DeviceID, want.ifname, n.ib[i])
		}
		capability, arg := got.RuntimeConfig.InfinibandGUID, got.Args.CNI["guid"]
		if i > 0 {
			capability, arg = arg, capability
		}
		if capability != want.guid || arg != "" {
			t.Errorf("%s: its GUIDs are %q and %q, want %s in one place", want.ifname, capability, arg, want.guid)
		}
		if got.Args.CNI["pkey"] != want.pkey || got.Args.CNI["mellanox.infiniband.app"] != "configured" {
			t.Errorf("%s: args.cni is %v", want.ifname, got.Args.CNI)
		}
		n.has(s, want.ifname, n.ib[i], want.guid)
	}
	if after := n.of(passPlugin, "ADD"); len(after) != 1 {
		t.Errorf("the plugin behind ours was called %d times", len(after))
	}
	n.shown(s, "net1", "rail2", "net3")
	n.mustMultus(s, "DEL")
	n.homeAgain()
}

// has fails unless a pod has a VF with a GUID, by the interface's name, and its RDMA device.
func (n *node) has(s *sandbox, ifname string, pci host.PCI, want string) {
	n.t.Helper()
	n.hasWithRDMA(s.ns, s, ifname, pci, want)
}

// hasWithRDMA is has with the RDMA device somewhere else.
func (n *node) hasWithRDMA(rdma host.NetNS, s *sandbox, ifname string, pci host.PCI, want string) {
	n.t.Helper()
	port, err := n.kernel.Port(n.t.Context(), rdma, pci)
	if g, perr := guid.Parse(want); err != nil || perr != nil || port.GUID != g || port.State != host.PortActive {
		n.t.Errorf("%s: its port is %+v (%v), want GUID %s", ifname, port, err, want)
	}
	if netdev, err := n.kernel.Netdev(n.t.Context(), s.ns, pci); err != nil || netdev.Name != ifname || !netdev.Up {
		n.t.Errorf("%s: its netdev is %+v, %v", ifname, netdev, err)
	}
}

// shown fails unless Multus has written on the pod that it has these interfaces beside eth0.
func (n *node) shown(s *sandbox, ifnames ...string) (all []nadv1.NetworkStatus) {
	n.t.Helper()
	text := n.read(s.pod).Annotations[attach.NetworkStatusAnnotation]
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		n.t.Fatalf("network-status %q: %v", text, err)
	}
	var names []string
	for _, status := range all {
		names = append(names, status.Interface)
	}
	if want := append([]string{"eth0"}, ifnames...); !slices.Equal(names, want) {
		n.t.Errorf("network-status has %v, want %v: %s", names, want, text)
	}
	return all
}

func multusSaysWhy(t *testing.T, w *world) {
	ns, n := w.bed.Namespace(t), w.node(t)
	w.network(ns, "good", infiniband, `{"cniVersion":"1.0.0","name":"good","type":"ib-sriov","pkey":"0x104","ibKubernetesEnabled":true}`)
	w.network(ns, "bad", infiniband, `{"cniVersion":"1.0.0","name":"bad","type":"ib-sriov","pkey":"1000","ibKubernetesEnabled":true}`)
	s := n.sandbox(w.served(ns, "right", "good", 1), map[string][]host.PCI{infiniband: n.ib[:1]})
	n.mustMultus(s, "ADD")
	n.mustMultus(s, "DEL")
	// A pod that the controller refuses, for its network names a decimal number.
	s = n.sandbox(w.pod(ns, "wrong", "[{\"name\":\"bad\"}]"), map[string][]host.PCI{infiniband: n.ib[:1]})
	if err := n.multus(s, "ADD"); err == nil || !strings.Contains(err.Error(), "has not configured this interface yet") {
		t.Errorf("Multus's ADD: %v", err)
	}
	if len(n.of("ib-sriov", "DEL")) != 2 {
		t.Errorf("Multus does not call DEL after an ADD that failed")
	}
	n.homeAgain()
}

//go:build linux

package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/test/peers"
)

func operatorRows() []row {
	operator := peer{name: "sriov-network-operator", pin: "test/peers/sriov-network-operator", path: "github.com/k8snetworkplumbingwg/sriov-network-operator"}
	const file = "operator_test.go"
	return []row{
		{operator, "what its own code renders of SriovIBNetworks is served and drives our plugin: capabilities, IPAM, link state, chained plugins, and a PKey in capabilities", file, itsIBNetworks, ""},
		{operator, "what its own code renders of SriovNetworks drives our plugins for RoCE: VLAN, rates, switches, rdma chained", file, itsRoCENetworks, ""},
	}
}

// rendered are NADs that the operator makes of networks.
func (w *world) rendered(networks string) (made []nadv1.NetworkAttachmentDefinition) {
	w.t.Helper()
	operator, err := peers.SRIOVNetworkOperator(w.t.Context(), root(w.t))
	if err == nil {
		err = operator.Build(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var out, words bytes.Buffer
	cmd := exec.CommandContext(w.t.Context(), operator.Path(), filepath.Join(operator.Dir, "bindata/manifests/cni-config"))
	cmd.Env = append(os.Environ(), "RESOURCE_PREFIX=example.com")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(networks), &out, &words
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("%v\n%s", err, words.String())
	}
	for in := json.NewDecoder(&out); ; {
		var nad nadv1.NetworkAttachmentDefinition
		if err := in.Decode(&nad); errors.Is(err, io.EOF) {
			return made
		} else if err != nil {
			w.t.Fatal(err)
		}
		w.bed.CreateNAD(w.t, nad.Namespace, nad.Name, nad.Spec.Config, nad.Annotations)
		made = append(made, nad)
	}
}

func itsIBNetworks(t *testing.T, w *world) {
	ns, n := w.bed.Namespace(t), w.node(t)
	made := w.rendered(fmt.Sprintf(`
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovIBNetwork
metadata: {name: bare, namespace: operator}
spec: {networkNamespace: %[1]s, resourceName: ib}
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovIBNetwork
metadata: {name: whole, namespace: operator}
spec:
  networkNamespace: %[1]s
  resourceName: ib
  linkState: enable
  capabilities: '{"infinibandGUID": true}'
  ipam: |
    {"type": "host-local", "dataDir": %[2]q, "subnet": "10.57.0.0/24"}
  metaPlugins: |
    {"type": "coordinator"}
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovIBNetwork
metadata: {name: partitioned, namespace: operator}
spec:
  networkNamespace: %[1]s
  resourceName: ib
  capabilities: '{"infinibandGUID": true}, "pkey": "0x403", "ibKubernetesEnabled": true'
`, ns, filepath.Join(n.dir, "addresses")))
	if len(made) != 3 {
		t.Fatalf("%d networks were made", len(made))
	}
	pod := w.served(ns, "train", "bare,whole,partitioned", 3)
	s := n.sandbox(pod, map[string][]host.PCI{infiniband: n.ib[:3]})
	n.mustMultus(s, "ADD")
	for i, e := range w.elements(pod) {
		// Without rdmaIsolation, which a SriovIBNetwork cannot ask for, the RDMA device stays.
		n.hasWithRDMA(host.Home, s, fmt.Sprintf("net%d", i+1), n.ib[i], e.guid())
	}
	if e := w.elements(pod); e[1].InfinibandGUID == "" || e[2].InfinibandGUID != w.only(0x403) {
		t.Errorf("the GUIDs are not in the capability's field: %+v", e)
	}
	if got := n.vfConfig(n.ib[1]); got.LinkState != host.Enable {
		t.Errorf("net2's link state is %s", got.LinkState)
	}
	if got := n.kernel.Addresses(s.ns, "net2"); !strings.Contains(got, "10.57.0.") {
		t.Errorf("net2 has the addresses %q", got)
	}
	if after := n.of(passPlugin, "ADD"); len(after) != 1 {
		t.Errorf("the plugin behind ours was called %d times", len(after))
	}
	n.shown(s, "net1", "net2", "net3")
	n.mustMultus(s, "DEL")
	n.homeAgain()
}

func itsRoCENetworks(t *testing.T, w *world) {
	ns, n := w.bed.Namespace(t), w.node(t)
	w.rendered(fmt.Sprintf(`
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetwork
metadata: {name: bare, namespace: operator}
spec: {networkNamespace: %[1]s, resourceName: roce}
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetwork
metadata: {name: whole, namespace: operator}
spec:
  networkNamespace: %[1]s
  resourceName: roce
  vlan: 100
  vlanQoS: 3
  vlanProto: 802.1ad
  minTxRate: 100
  maxTxRate: 1000
  spoofChk: "off"
  trust: "on"
  linkState: enable
  logLevel: debug
  capabilities: '{"mac": true, "ips": true}'
  ipam: '{"type": "host-local", "dataDir": %[2]q, "subnet": "10.58.0.0/24"}'
  metaPlugins: '{"type": "rdma"}'
`, ns, filepath.Join(n.dir, "addresses")))
	pod := w.pod(ns, "train", `[{"name":"bare"},{"name":"whole"}]`)
	s := n.sandbox(pod, map[string][]host.PCI{"example.com/roce": n.roce[:2]})
	n.mustMultus(s, "ADD")
	n.shown(s, "net1", "net2")
	got := n.vfConfig(n.roce[1])
	want := host.Ethernet{MAC: got.Ethernet.MAC, VLAN: 100, QoS: 3, Proto: host.VLAN8021AD, MinRate: 100, MaxRate: 1000, Trust: true}
	if got.Ethernet != want || got.LinkState != host.Enable {
		t.Errorf("the PF has %+v, want %+v", got, want)
	}
	if _, err := n.kernel.RDMADevice(t.Context(), s.ns, n.roce[1]); err != nil {
		t.Errorf("rdma is chained, but the pod has no RDMA device: %v", err)
	}
	if got := n.kernel.Addresses(s.ns, "net2"); !strings.Contains(got, "10.58.0.") {
		t.Errorf("net2 has the addresses %q", got)
	}
	n.mustMultus(s, "DEL")
	n.homeAgain()
}

//go:build linux

package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
)

func ibSriovCNIRows() []row {
	ibSriovCNI := peer{name: "ib-sriov-cni", as: "as v1.3.0 documents it"}
	const file = "ibsriovcni_test.go"
	return []row{
		{ibSriovCNI, "NADs with all the fields that it documents drive our plugin: its example, an isolated VF, a VF bound to vfio-pci", file, itsNetworks, ""},
		{ibSriovCNI, "its own program takes what our controller wrote and Multus handed on", file, itsProgram,
			"it is not to be had as a Go module"},
	}
}

func itsNetworks(t *testing.T, w *world) {
	const machines = "example.com/vfio"
	ns, n := w.bed.Namespace(t), w.node(t)
	n.kernel.SetDriver(n.ib[2], host.VFIO)
	n.before = n.states()
	w.network(ns, "example", infiniband, fmt.Sprintf(`{"type":"ib-sriov","cniVersion":"0.3.1","name":"example","pkey":"0x301","link_state":"enable","ibKubernetesEnabled":false,
		"ipam":{"type":"host-local","dataDir":%q,"subnet":"10.56.217.0/24","routes":[{"dst":"0.0.0.0/0"}],"gateway":"10.56.217.1"}}`, filepath.Join(n.dir, "addresses")))
	w.network(ns, "isolated", infiniband, `{"type":"ib-sriov","cniVersion":"0.3.1","name":"isolated","pkey":"0x302","link_state":"auto","rdmaIsolation":true,"ibKubernetesEnabled":true,"capabilities":{"infinibandGUID":true},"ipam":{}}`)
	w.network(ns, "machine", machines, `{"type":"ib-sriov","cniVersion":"1.1.0","name":"machine","pkey":"0x303","link_state":"disable","ibKubernetesEnabled":true,"vfioPciMode":true}`)
	pod := w.served(ns, "train", "example,isolated,machine", 3)
	s := n.sandbox(pod, map[string][]host.PCI{infiniband: n.ib[:2], machines: n.ib[2:3]})
	n.mustMultus(s, "ADD")

	for i, want := range []struct {
		guid string
		link host.LinkState
	}{{w.only(0x301), host.Enable}, {w.only(0x302), host.Auto}, {w.only(0x303), host.Disable}} {
		if got := n.vfConfig(n.ib[i]); got.PortGUID.String() != want.guid || got.NodeGUID != got.PortGUID || got.LinkState != want.link {
			t.Errorf("the PF of %s has %+v, want %+v", n.ib[i], got, want)
		}
	}
	if _, err := n.kernel.RDMADevice(t.Context(), host.Home, n.ib[0]); err != nil {
		t.Errorf("without rdmaIsolation the RDMA device left the host: %v", err)
	}
	n.has(s, "net2", n.ib[1], w.only(0x302))
	if got := n.kernel.Addresses(s.ns, "net1"); !strings.Contains(got, "10.56.217.") {
		t.Errorf("net1 has the addresses %q", got)
	}
	n.mustMultus(s, "DEL")
	n.homeAgain()
}

// itsProgram calls it with the configuration that our plugin got. There is no such device
// on this machine, and that must be all that it finds wrong.
func itsProgram(t *testing.T, w *world) {
	dir := os.Getenv("IBFABRIC_PEER_DIR")
	program := filepath.Join(dir, "ib-sriov")
	if _, err := os.Stat(program); dir == "" || err != nil {
		t.Skipf("SKIPPED: give the folder that has ib-sriov of ib-sriov-cni: make control PEER_DIR=/opt/cni/bin (%v)", err)
	}
	ns, n := w.bed.Namespace(t), w.node(t)
	w.network(ns, "plain", infiniband, `{"type":"ib-sriov","cniVersion":"0.3.1","name":"plain","pkey":"0x311","ibKubernetesEnabled":true}`)
	s := n.sandbox(w.served(ns, "train", "plain", 1), map[string][]host.PCI{infiniband: n.ib[:1]})
	n.mustMultus(s, "ADD")
	given := map[string]any{}
	if err := json.Unmarshal(n.of("ib-sriov", "ADD")[0].Config, &given); err != nil {
		t.Fatal(err)
	}
	n.mustMultus(s, "DEL")
	given["deviceID"] = "ffff:ff:1f.7"
	call := func() string {
		text, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env, cmd.Stdin = n.environment(s, "ADD", "net1"), bytes.NewReader(text)
		var said *types.Error
		if _, err := output(cmd); !errors.As(err, &said) {
			t.Fatalf("it does not answer as a CNI plugin: %v", err)
		}
		return said.Msg
	}
	if said := call(); strings.Contains(said, "netconf") || strings.Contains(said, "mellanox.infiniband.app") {
		t.Errorf("it says: %s", said)
	}
	delete(given, "args")
	if said := call(); !strings.Contains(said, "mellanox.infiniband.app") {
		t.Errorf("without our word it says: %s", said)
	}
}

//go:build linux

package compat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
)

func spiderpoolRows() []row {
	spiderpool := peer{name: "Spiderpool", as: "NADs as v1.2 makes them; written by hand, since its module has no checksum that can be verified"}
	const file = "spiderpool_test.go"
	return []row{
		{spiderpool, "its InfiniBand NADs are served and drive our plugin: with its IPAM and coordinator, and with LIDs only (both are stood in for: they need its agent)", file, itsInfiniBand, ""},
		{spiderpool, "its RoCE NAD drives our plugins in its chain: sriov, rdma, coordinator", file, itsRoCE, ""},
	}
}

// spiderpool puts a stand-in for its IPAM plugin on the node: it gives an address, and notes
// who has one.
func (n *node) spiderpool() (given func() int) {
	n.t.Helper()
	dir := filepath.Join(n.dir, "spiderpool")
	script := `#!/bin/sh
cat > /dev/null
held=` + dir + `/$CNI_CONTAINERID-$CNI_IFNAME
case $CNI_COMMAND in
ADD) : > $held; echo '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"172.16.11.10/24","gateway":"172.16.11.254"}]}' ;;
DEL) rm -f $held ;;
esac
`
	if err := os.Mkdir(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.bin, "spiderpool"), []byte(script), 0o755); err != nil {
		n.t.Fatal(err)
	}
	return func() int {
		files, err := os.ReadDir(dir)
		if err != nil {
			n.t.Fatal(err)
		}
		return len(files)
	}
}

func itsInfiniBand(t *testing.T, w *world) {
	const resource = "spidernet.io/gpu1sriov"
	ns, n := w.bed.Namespace(t), w.node(t)
	given := n.spiderpool()
	w.network(ns, "gpu1-net11", resource, `{"cniVersion":"0.3.1","name":"gpu1-net11","plugins":[{"type":"ib-sriov","pkey":"0x501","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}]}`)
	w.network(ns, "gpu2-net12", resource, `{"cniVersion":"0.3.1","name":"gpu2-net12","plugins":[{"type":"ib-sriov","pkey":"0x502","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}]}`)
	w.network(ns, "gpu3-net13", resource, `{"cniVersion":"0.3.1","name":"gpu3-net13","plugins":[{"type":"ib-sriov","pkey":"","link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":false,"ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net91"]}},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}]}`)
	pod := w.served(ns, "train", ns+"/gpu1-net11,"+ns+"/gpu2-net12,"+ns+"/gpu3-net13", 3) // as its webhook writes it
	s := n.sandbox(pod, map[string][]host.PCI{resource: n.ib[:3]})
	n.mustMultus(s, "ADD")
	n.has(s, "net1", n.ib[0], w.only(0x501))
	n.has(s, "net2", n.ib[1], w.only(0x502))
	n.has(s, "net3", n.ib[2], w.elements(pod)[2].guid())
	if got := n.kernel.Addresses(s.ns, "net1"); !strings.Contains(got, "172.16.11.10") || given() != 2 {
		t.Errorf("net1 has the addresses %q, %d are given", got, given())
	}
	if after := n.of(passPlugin, "ADD"); len(after) != 2 || !strings.Contains(string(after[0].Config), `"172.16.11.10/24"`) {
		t.Errorf("coordinator was called %d times, or without our answer", len(after))
	}
	n.shown(s, "net1", "net2", "net3")
	n.mustMultus(s, "DEL")
	n.homeAgain()
	if given() != 0 {
		t.Errorf("%d addresses are left", given())
	}
}

func itsRoCE(t *testing.T, w *world) {
	const resource = "spidernet.io/gpu1sriov"
	ns, n := w.bed.Namespace(t), w.node(t)
	given := n.spiderpool()
	w.network(ns, "gpu1-sriov", resource, `{"cniVersion":"0.3.1","name":"gpu1-sriov","plugins":[{"vlan":0,"min_tx_rate":0,"max_tx_rate":0,"type":"sriov","ipam":{"type":"spiderpool","default_ipv4_ippool":["gpu1-net11"]}},{"type":"rdma"},{"txQueueLen":0,"tunePodRoutes":true,"mode":"auto","type":"coordinator"}]}`)
	s := n.sandbox(w.pod(ns, "train", `[{"name":"gpu1-sriov"}]`), map[string][]host.PCI{resource: n.roce[:1]})
	n.mustMultus(s, "ADD")
	if _, err := n.kernel.RDMADevice(t.Context(), s.ns, n.roce[0]); err != nil {
		t.Errorf("the pod has no RDMA device: %v", err)
	}
	if netdev, err := n.kernel.Netdev(t.Context(), s.ns, n.roce[0]); err != nil || netdev.Name != "net1" || given() != 1 {
		t.Errorf("its netdev is %+v, %v; %d addresses are given", netdev, err, given())
	}
	n.shown(s, "net1")
	n.mustMultus(s, "DEL")
	n.homeAgain()
	if given() != 0 {
		t.Errorf("%d addresses are left", given())
	}
}

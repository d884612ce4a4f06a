//go:build linux

package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/test/peers"
)

func ipamRows() []row {
	whereabouts := peer{name: "whereabouts", pin: "test/peers/whereabouts", path: "github.com/k8snetworkplumbingwg/whereabouts"}
	hostLocal := peer{name: "host-local", pin: "test/testbed/tools/cniplugins", path: "github.com/containernetworking/plugins"}
	const file = "ipam_test.go"
	var all []row
	for _, of := range []struct {
		peer peer
		on   func(*node) addresses
	}{{whereabouts, whereaboutsOn}, {hostLocal, hostLocalOn}} {
		all = append(all,
			row{of.peer, "as IPAM of our plugins: two pods at once have different addresses, CHECK agrees, DEL gives them back, also twice", file,
				func(t *testing.T, w *world) { n := w.node(t); addressesComeAndGo(t, n, of.on(n)) }, ""},
			row{of.peer, "an ADD that fails after it had an address leaves none behind", file,
				func(t *testing.T, w *world) { n := w.node(t); noAddressIsLeft(t, n, of.on(n)) }, ""})
	}
	return all
}

// addresses are what an IPAM plugin has given, and how a network asks for them.
type addresses struct {
	ipam  map[string]any
	given func() []string
}

func hostLocalOn(n *node) addresses {
	dir := filepath.Join(n.dir, "addresses")
	return addresses{
		ipam: map[string]any{"type": "host-local", "dataDir": dir, "subnet": "10.60.0.0/24", "gateway": "10.60.0.1"},
		given: func() (all []string) {
			files, err := os.ReadDir(filepath.Join(dir, "addressed"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				n.t.Fatal(err)
			}
			for _, f := range files {
				if _, err := netip.ParseAddr(f.Name()); err == nil { // a lock and the last one lie there too
					all = append(all, f.Name())
				}
			}
			return all
		},
	}
}

// whereaboutsOn puts the real one on the node; its pools are objects of the cluster.
func whereaboutsOn(n *node) addresses {
	n.t.Helper()
	program, err := peers.Whereabouts(n.t.Context(), root(n.t))
	if err == nil {
		err = program.Build(n.t.Context())
	}
	if err == nil {
		err = os.Symlink(program.Path(), filepath.Join(n.bin, "whereabouts"))
	}
	if err != nil {
		n.t.Fatal(err)
	}
	for _, kind := range []string{"ippools", "overlappingrangeipreservations"} {
		text, err := os.ReadFile(filepath.Join(program.Dir, "doc/crds/whereabouts.cni.cncf.io_"+kind+".yaml"))
		if err == nil {
			err = n.bed.Apply(n.t.Context(), text)
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
	client, err := dynamic.NewForConfig(n.bed.Config())
	if err != nil {
		n.t.Fatal(err)
	}
	// It does nothing without the file that its DaemonSet leaves on nodes.
	file := filepath.Join(n.dir, "whereabouts.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"datastore":"kubernetes","kubernetes":{"kubeconfig":%q}}`, n.bed.Kubeconfig()), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return addresses{
		ipam:  map[string]any{"type": "whereabouts", "range": "10.61.0.0/24", "configuration_path": file},
		given: func() []string { return allocated(n, client) },
	}
}

// allocated are the allocations of whereabouts' pools and its reservations across them.
func allocated(n *node, client dynamic.Interface) (all []string) {
	n.t.Helper()
	list := func(kind string) []map[string]any {
		found, err := client.Resource(schema.GroupVersionResource{Group: "whereabouts.cni.cncf.io", Version: "v1alpha1", Resource: kind}).List(n.t.Context(), metav1.ListOptions{})
		if err != nil {
			n.t.Fatal(err)
		}
		var specs []map[string]any
		for _, item := range found.Items {
			spec, _ := item.Object["spec"].(map[string]any)
			specs = append(specs, spec)
		}
		return specs
	}
	for _, pool := range list("ippools") {
		given, _ := pool["allocations"].(map[string]any)
		for offset := range given {
			all = append(all, offset)
		}
	}
	if reserved := list("overlappingrangeipreservations"); len(reserved) != len(all) {
		n.t.Errorf("%d reservations of %d addresses: %v", len(reserved), len(all), reserved)
	}
	return all
}

// addressed makes pods on a network with such addresses, and gives their sandboxes.
func (n *node) addressed(a addresses, pods ...string) (all []*sandbox) {
	n.t.Helper()
	ns := n.bed.Namespace(n.t)
	config, err := json.Marshal(map[string]any{
		"cniVersion": "1.0.0", "name": "addressed", "type": "ib-sriov", "rdmaIsolation": true, "ibKubernetesEnabled": true, "ipam": a.ipam,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.network(ns, "addressed", infiniband, string(config))
	for i, name := range pods {
		all = append(all, n.sandbox(n.served(ns, name, "addressed", 1), map[string][]host.PCI{infiniband: n.ib[i : i+1]}))
	}
	return all
}

func addressesComeAndGo(t *testing.T, n *node, a addresses) {
	pods := n.addressed(a, "one", "two")
	var shown []string
	for _, s := range pods {
		n.mustMultus(s, "ADD")
		status := n.shown(s, "net1")
		if ips := status[1].IPs; len(ips) != 1 || n.kernel.Addresses(s.ns, "net1") == "" {
			t.Errorf("pod %s shows %v and has %q", s.pod.Name, ips, n.kernel.Addresses(s.ns, "net1"))
		} else {
			shown = append(shown, ips[0])
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(shown)))) != 2 || len(a.given()) != 2 {
		t.Errorf("two pods have %v; given are %v", shown, a.given())
	}
	for i, c := range n.of("ib-sriov", "ADD") {
		config := n.again(c)
		config["prevResult"] = c.Result
		if err := n.direct(pods[i], "CHECK", "ib-sriov", "net1", config); err != nil {
			t.Errorf("CHECK of pod %s: %v", pods[i].pod.Name, err)
		}
	}
	for _, s := range append(pods, pods...) {
		n.mustMultus(s, "DEL")
	}
	if left := a.given(); len(left) > 0 {
		t.Errorf("addresses left: %v", left)
	}
	n.homeAgain()
}

// again is the configuration of a call, to call with once more.
func (n *node) again(c *call) map[string]any {
	n.t.Helper()
	var config map[string]any
	if err := json.Unmarshal(c.Config, &config); err != nil {
		n.t.Fatal(err)
	}
	return config
}

// noAddressIsLeft calls the plugin itself: Multus calls DEL after an ADD that failed, and
// nobody would see what ADD had left.
func noAddressIsLeft(t *testing.T, n *node, a addresses) {
	s := n.addressed(a, "one")[0]
	n.mustMultus(s, "ADD")
	n.mustMultus(s, "DEL")
	config := n.again(n.of("ib-sriov", "ADD")[0])
	for _, verb := range []string{"Configure", "RouteBySource"} {
		held := 0
		n.faults.Plan(func(_ int, called string) hostfake.Fault {
			if called != verb {
				return hostfake.Fault{}
			}
			held = len(a.given())
			return hostfake.Fault{Err: fmt.Errorf("%s: %w", verb, context.DeadlineExceeded)}
		})
		err := n.direct(s, "ADD", "ib-sriov", "net1", config)
		n.faults.Plan(nil)
		if err == nil || held != 1 {
			t.Errorf("%s: the ADD gave %v, with %d addresses at that moment, want 1", verb, err, held)
		}
		if left := a.given(); len(left) > 0 {
			t.Errorf("%s: addresses left: %v", verb, left)
		}
		n.homeAgain()
	}
}

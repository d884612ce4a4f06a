package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
	"github.com/ibfabric/ibfabric/guid"
)

// node is a lab's node with the plugin on it.
type node struct {
	t      *testing.T
	lab    Lab
	faults *hostfake.Faults
	env    *plugin.Env
	ipam   *ipam
	before map[host.PCI]vfState
	known  map[guid.GUID]bool    // to the subnet manager
	rails  map[string]host.NetNS // of containers with several interfaces
}

func newNode(t *testing.T, lab Lab) *node {
	n := &node{t: t, lab: lab, faults: hostfake.NewFaults(lab.Kernel()), rails: map[string]host.NetNS{}, known: map[guid.GUID]bool{}}
	n.ipam = &ipam{given: map[record.Key]bool{}, faults: n.faults}
	dir := t.TempDir()
	infiniband, _ := cni.Named("ib-sriov")
	n.env = &plugin.Env{
		Kernel:     n.faults,
		Store:      record.NewStore(filepath.Join(dir, "records")),
		Incumbents: record.Incumbents{IBSriov: filepath.Join(dir, "ib-sriov"), Sriov: filepath.Join(dir, "sriov"), RDMA: filepath.Join(dir, "rdma"), Results: filepath.Join(dir, "results")},
		Kept:       record.NewStore(filepath.Join(dir, "kept")),
		Locks:      txn.Locks{Dir: filepath.Join(dir, "locks"), Wait: 2 * time.Minute},
		IPAM:       n.ipam, Log: zap.NewNop(), Now: time.Now, Settle: 30 * time.Second, Undo: infiniband.Undo,
	}
	n.before = n.settled()
	return n
}

// pod is one interface of one container.
type pod struct {
	id, ifname string
	ns         host.NetNS
	vf         host.PCI
	guid       guid.GUID
	config     map[string]any
	chain      []string // the plugins, by their types; ib-sriov unless told
	args       string   // CNI_ARGS
	result     *types100.Result
}

// pod asks for VF number i with the GUID g in partition 0x1000, isolated and addressed.
func (n *node) pod(id string, i int, g guid.GUID) *pod {
	if !n.known[g] { // a retry changes nothing on the fabric
		n.lab.Program(g, 0x9000, 0x7fff, 0x0020)
		n.known[g] = true
	}
	p := &pod{
		id: id, ifname: "net1", ns: n.lab.NewNetNS(id), vf: n.lab.VFs()[i], guid: g,
		config: map[string]any{
			"cniVersion": "1.0.0", "name": "gpu1", "type": "ib-sriov", "deviceID": string(n.lab.VFs()[i]),
			"rdmaIsolation": true, "ibKubernetesEnabled": true, "pkey": "0x1000", "link_state": "enable",
			"ipam": map[string]any{"type": "fake"},
			"args": map[string]any{"cni": map[string]any{
				"guid": g.String(), "mellanox.infiniband.app": "configured", "pkey": "0x1000",
			}},
		},
	}
	if _, slow := n.lab.(Slow); slow {
		p.config["fabricTimeout"] = "10m" // other pods' rebinds come before its own
	}
	return p
}

// with changes one key of the configuration; nil takes it out.
func (p *pod) with(key string, value any) *pod {
	if value == nil {
		delete(p.config, key)
	} else {
		p.config[key] = value
	}
	return p
}

func (p *pod) arg(key string, value any) *pod {
	p.config["args"].(map[string]any)["cni"].(map[string]any)[key] = value
	return p
}

// request is the call for number i of the chain, with the answer of the one before it.
func (p *pod) request(i int, previous *types100.Result) plugin.Request {
	config := maps.Clone(p.config)
	if i > 0 {
		config = map[string]any{"cniVersion": p.config["cniVersion"], "name": p.config["name"], "type": p.chain[i], "deviceID": p.config["deviceID"]}
	}
	if previous != nil {
		config["prevResult"] = previous
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // of a map of strings
	}
	return plugin.Request{ContainerID: p.id, IfName: p.ifname, NetNS: p.ns, Args: p.args, Config: text}
}

// plugin is number i of a pod's chain, with its environment.
func (n *node) plugin(p *pod, i int) (cni.Plugin, *plugin.Env) {
	name := "ib-sriov"
	if len(p.chain) > 0 {
		name = p.chain[i]
	}
	found, ok := cni.Named(name)
	if !ok {
		n.t.Fatalf("there is no plugin %q", name)
	}
	env := *n.env
	env.Undo = found.Undo
	if i > 0 {
		env.Store = record.NewStore(filepath.Join(env.Store.Dir(), name))
	}
	return found, &env
}

func (n *node) add(p *pod) (result *types100.Result, err error) {
	for i := range max(1, len(p.chain)) {
		found, env := n.plugin(p, i)
		if result, err = found.Add(context.Background(), env, p.request(i, result)); err != nil {
			return nil, err
		}
	}
	p.result = result
	return result, nil
}

// del calls the chain from its end, as runtimes do, and goes on after an error: the next
// DEL is for what is left.
func (n *node) del(p *pod) error {
	for i := max(1, len(p.chain)) - 1; i >= 0; i-- {
		found, env := n.plugin(p, i)
		if err := found.Del(context.Background(), env, p.request(i, p.result)); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) check(p *pod) error {
	var errs []error
	for i := range max(1, len(p.chain)) {
		found, env := n.plugin(p, i)
		errs = append(errs, found.Check(context.Background(), env, p.request(i, p.result)))
	}
	return errors.Join(errs...)
}

func (n *node) mustAdd(p *pod) *types100.Result {
	n.t.Helper()
	result, err := n.add(p)
	if err != nil {
		n.t.Fatalf("ADD of %s: %v", p.id, err)
	}
	return result
}

func (n *node) mustDel(p *pod) {
	n.t.Helper()
	if err := n.del(p); err != nil {
		n.t.Fatalf("DEL of %s: %v", p.id, err)
	}
}

// vfState is how a VF is seen from the host.
type vfState struct {
	Driver     string
	Config     host.VFConfig
	Node, Port guid.GUID
	Netdev     string
	Addr       string // of an Ethernet VF; that of InfiniBand goes with its queue pair
	MTU        int
	Children   int
	RDMA       bool
}

func (n *node) states() map[host.PCI]vfState {
	n.t.Helper()
	states := map[host.PCI]vfState{}
	for _, pci := range slices.Concat(n.lab.VFs(), n.lab.RoCE()) {
		states[pci] = n.state(pci)
	}
	return states
}

// settled waits until every VF is at home and udev has given its names: two looks, a
// while apart, see the same.
func (n *node) settled() map[host.PCI]vfState {
	n.t.Helper()
	last := n.states()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		now := n.states()
		if maps.Equal(last, now) && !slices.ContainsFunc(slices.Collect(maps.Values(now)), vfState.away) {
			return now
		}
		last = now
	}
	n.t.Fatalf("the VFs do not settle: %+v", last)
	return nil
}

func (s vfState) away() bool { return s.Netdev == "" || !s.RDMA }

func (n *node) state(pci host.PCI) vfState {
	n.t.Helper()
	ctx, k := context.Background(), n.lab.Kernel()
	d, err := k.Device(ctx, pci)
	if err != nil {
		n.t.Fatal(err)
	}
	s := vfState{Driver: d.Driver}
	if s.Config, err = k.VFConfig(ctx, d.VF); err != nil {
		n.t.Fatal(err)
	}
	if p, err := k.Port(ctx, host.Home, pci); err == nil {
		s.Node, s.Port, s.RDMA = p.NodeGUID, p.GUID, true
	}
	if netdev, err := k.Netdev(ctx, host.Home, pci); err == nil {
		s.Netdev, s.MTU, s.Children = netdev.Name, netdev.MTU, len(netdev.Children)
		if len(netdev.Addr) == 6 {
			s.Addr = netdev.Addr.String()
		}
	}
	return s
}

// untouched fails unless every VF is as it was, no record is left and no address given.
func (n *node) untouched(when string) {
	n.t.Helper()
	if diff := cmp.Diff(n.before, n.states()); diff != "" {
		n.t.Errorf("%s: VFs are not as before (-before +now):\n%s", when, diff)
	}
	records, err := n.env.Store.All()
	if err != nil || len(records) > 0 {
		n.t.Errorf("%s: records left: %+v, %v", when, records, err)
	}
	if left := n.ipam.left(); len(left) > 0 {
		n.t.Errorf("%s: addresses left: %v", when, left)
	}
}

// inPod fails unless the pod has its VF: both devices, the GUID, the name, up.
func (n *node) inPod(p *pod) {
	n.t.Helper()
	ctx, k := context.Background(), n.lab.Kernel()
	netdev, err := k.Netdev(ctx, p.ns, p.vf)
	if err != nil || netdev.Name != p.ifname || !netdev.Up {
		n.t.Errorf("netdev in the pod: %+v, %v", netdev, err)
	}
	if p.guid == 0 {
		n.roceInPod(p)
		return
	}
	port, err := k.Port(ctx, p.ns, p.vf)
	if err != nil || port.GUID != p.guid || port.NodeGUID != p.guid || port.State != host.PortActive {
		n.t.Errorf("port in the pod: %+v, %v; want GUID %s", port, err, p.guid)
	}
	if _, err := k.RDMADevice(ctx, host.Home, p.vf); !errors.Is(err, host.ErrNotFound) {
		n.t.Errorf("the host still sees the RDMA device (%v)", err)
	}
}

// rehearse counts the verbs of a call by letting it through.
func (n *node) rehearse(f func()) []string {
	n.faults.Plan(nil)
	f()
	return n.faults.Verbs()
}

// everywhere runs try once for every verb of a call, before and after its work; at counts those
// that are not left out.
func (n *node) everywhere(verbs []string, try func(at int, late bool, name string)) {
	for i, verb := range slices.DeleteFunc(slices.Clone(verbs), n.leftOut) {
		for _, late := range []bool{false, true} {
			try(i, late, fmt.Sprintf("at verb %d (%s), late %t", i, verb, late))
		}
	}
}

// leftOut are the verbs that only look, on a slow node: a call that ends there leaves what one
// leaves that ends after the last verb that did something. And how often a call looks, until a
// real kernel is done, is not the same each time. The fake node goes through all.
func (n *node) leftOut(verb string) bool {
	_, slow := n.lab.(Slow)
	return slow && looks(verb)
}

// looks reports whether a verb of host.Kernel changes nothing.
func looks(verb string) bool {
	return slices.Contains([]string{
		"BootID", "HasNetNS", "SeesNetNS", "NetNSID", "RDMAMode", "Device", "VFConfig", "Netdev", "Configured",
		"HasDefaultRoute", "RDMADevice", "Port",
	}, verb)
}

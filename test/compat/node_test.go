//go:build linux

package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// node is a node of the fake kernel. Its CNI folder has our plugins, as programs that hand
// each call to this process, and those of others beside them.
type node struct {
	*world
	kernel   *hostfake.Kernel
	faults   *hostfake.Faults
	ib, roce []host.PCI
	env      plugin.Env
	dir, bin string
	before   map[host.PCI]string

	mu    sync.Mutex // protects calls
	calls []*call
}

// call is one of a plugin, as its program got it, and the answer.
type call struct {
	Plugin string            // by its CNI type
	Env    map[string]string // what begins with CNI_
	Config json.RawMessage

	Result json.RawMessage `json:",omitempty"`
	Error  *types.Error    `json:",omitempty"`
}

func (w *world) node(t *testing.T) *node {
	t.Helper()
	// Not t.TempDir: the names of sockets must be short.
	dir, err := os.MkdirTemp("", "ibfabric-node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{world: w, kernel: hostfake.New(hostfake.Options{}), dir: dir, bin: filepath.Join(dir, "bin")}
	n.faults = hostfake.NewFaults(n.kernel)
	_, n.ib = n.kernel.AddPF(0x17, 8, 0x0011000000000000)
	_, n.roce = n.kernel.AddEthernetPF(0x5e, 4, true)
	under := func(name string) string { return filepath.Join(dir, name) }
	n.env = plugin.Env{
		Kernel:     n.faults,
		Store:      record.NewStore(under("records")),
		Incumbents: record.Incumbents{IBSriov: under("ib-sriov"), Sriov: under("sriov"), RDMA: under("rdma"), Results: under("results")},
		Locks:      txn.Locks{Dir: under("locks"), Wait: time.Minute},
		IPAM:       plugin.ExecIPAM{}, Log: zap.NewNop(), Now: time.Now, Settle: 30 * time.Second,
	}
	n.before = n.states()
	n.install("ib-sriov", "sriov", "rdma", clusterPlugin, passPlugin, stageName)
	for name, file := range w.programs {
		if err := os.Symlink(file, filepath.Join(n.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	n.listen()
	return n
}

// install puts the test program into the CNI folder, by these names.
func (n *node) install(names ...string) {
	n.t.Helper()
	self, err := os.Executable()
	err = errors.Join(err, os.MkdirAll(n.bin, 0o755))
	for _, name := range names {
		err = errors.Join(err, os.Symlink(self, filepath.Join(n.bin, name)))
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) socket() string { return filepath.Join(n.dir, "s") }

// listen answers the plugins' programs until the test's end.
func (n *node) listen() {
	n.t.Helper()
	l, err := net.Listen("unix", n.socket())
	if err != nil {
		n.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { n.serve(conn) })
		}
	})
	n.t.Cleanup(func() { _ = l.Close(); serving.Wait() })
}

func (n *node) serve(conn net.Conn) {
	defer conn.Close()
	c := &call{}
	if err := json.NewDecoder(conn).Decode(c); err != nil {
		c.Error = types.NewError(types.ErrDecodingFailure, err.Error(), "")
	} else if result, err := n.answer(c); err != nil {
		if !errors.As(plugin.ToCNI(err), &c.Error) {
			c.Error = types.NewError(types.ErrInternal, err.Error(), "")
		}
	} else {
		c.Result = result
	}
	n.mu.Lock()
	n.calls = append(n.calls, c)
	n.mu.Unlock()
	_ = json.NewEncoder(conn).Encode(c) // who is gone wants no answer
}

// The stand-ins of plugins that need a daemon or a real netdev: the pods' own network, and
// one that passes on what the plugin before it answered.
const (
	clusterPlugin = "cluster"
	passPlugin    = "coordinator"
)

func (n *node) answer(c *call) (json.RawMessage, error) {
	if p, ours := cni.Named(c.Plugin); ours {
		return n.ours(p, c)
	}
	if c.Env["CNI_COMMAND"] != "ADD" {
		return nil, nil
	}
	if c.Plugin == clusterPlugin {
		return fmt.Appendf(nil, `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":%q}],"ips":[{"address":"10.1.0.5/16","interface":0}]}`, c.Env["CNI_NETNS"]), nil
	}
	var config struct {
		PrevResult json.RawMessage `json:"prevResult"`
	}
	err := json.Unmarshal(c.Config, &config)
	return config.PrevResult, err
}

// ours calls a plugin as cmd/ibfabric-cni does.
func (n *node) ours(p cni.Plugin, c *call) (json.RawMessage, error) {
	env, ctx := n.env, context.Background()
	env.Undo = p.Undo
	if p.Type == "rdma" {
		env.Store = record.NewStore(filepath.Join(env.Store.Dir(), "rdma"))
	}
	req := plugin.Request{
		ContainerID: c.Env["CNI_CONTAINERID"], IfName: c.Env["CNI_IFNAME"], NetNS: host.NetNS(c.Env["CNI_NETNS"]),
		Args: c.Env["CNI_ARGS"], Path: c.Env["CNI_PATH"], Config: c.Config,
	}
	switch c.Env["CNI_COMMAND"] {
	case "ADD":
		result, err := p.Add(ctx, &env, req)
		if err != nil {
			return nil, err
		}
		var config types.NetConf
		if err := json.Unmarshal(c.Config, &config); err != nil {
			return nil, err
		}
		versioned, err := result.GetAsVersion(config.CNIVersion)
		if err != nil {
			return nil, err
		}
		return json.Marshal(versioned)
	case "DEL":
		return nil, p.Del(ctx, &env, req)
	case "CHECK":
		return nil, p.Check(ctx, &env, req)
	}
	return nil, types.NewError(types.ErrInvalidEnvironmentVariables, c.Env["CNI_COMMAND"], "")
}

// states are all VFs, as the host sees them.
func (n *node) states() map[host.PCI]string {
	n.t.Helper()
	all := map[host.PCI]string{}
	for _, list := range [][]host.PCI{n.ib, n.roce} {
		for _, pci := range list {
			_, netdev := n.kernel.Netdev(n.t.Context(), host.Home, pci)
			_, rdma := n.kernel.RDMADevice(n.t.Context(), host.Home, pci)
			all[pci] = fmt.Sprintf("%+v; at home: netdev %v, RDMA device %v", n.vfConfig(pci), netdev == nil, rdma == nil)
		}
	}
	return all
}

// vfConfig is what the PF holds for a VF.
func (n *node) vfConfig(pci host.PCI) host.VFConfig {
	n.t.Helper()
	d, err := n.kernel.Device(n.t.Context(), pci)
	if err != nil {
		n.t.Fatal(err)
	}
	config, err := n.kernel.VFConfig(n.t.Context(), d.VF)
	if err != nil {
		n.t.Fatal(err)
	}
	return config
}

// homeAgain fails unless every VF is as it was and no record is left.
func (n *node) homeAgain() {
	n.t.Helper()
	if diff := cmp.Diff(n.before, n.states()); diff != "" {
		n.t.Errorf("VFs are not as before (-before +now):\n%s", diff)
	}
	if records, err := n.env.Store.All(); err != nil || len(records) > 0 {
		n.t.Errorf("records left: %+v, %v", records, err)
	}
}

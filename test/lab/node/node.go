//go:build linux

// Package node runs a whole Kubernetes node in a guest of the lab's: Debian's kernel,
// containerd and runc, a kubelet, Multus and ibfabric's CNI plugins, with virtual cards of
// which one is InfiniBand and one RoCE. It is booted once, saved, and restored within
// seconds; a node that is restored joins whichever cluster the test has.
//
// It has QEMU's user network and nothing else: no route and no netdev of this machine's is
// touched. What the node asks of the API server comes to a port of the test's own.
package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/lab/node/control"
	"github.com/ibfabric/ibfabric/test/lab/node/vfs"
)

// Config says which node it is.
type Config struct {
	Name   string
	Number int // from 1: nodes that run at once differ in it
	// Kubelet and Multus are the identities of the two at the API server.
	Kubelet, Multus Identity
	// Inside and CNI are files of this machine's: the programs test/lab/node/inside and
	// cmd/ibfabric-cni. Without the second the node has nothing of ibfabric's.
	Inside, CNI string
	Files       map[string]string // more of this machine's, for Fetch, by their path in the node
	Resources   map[string]int    // what the device plugin offers: name, and the card
}

// Node is a node that runs.
type Node struct {
	config  Config
	live    *guest.Live
	control *control.Client
	door    *door
	first   guid.GUID // of its VFs' own
	bootID  string
}

// The programs that depend on ibfabric's code are not in the snapshot.
const (
	insideProgram = "/usr/bin/inside"
	cniProgram    = "/usr/bin/ibfabric-cni"
)

// files are all that the node may ask for.
func (c Config) files() map[string]string {
	files := maps.Clone(c.Files)
	if files == nil {
		files = map[string]string{}
	}
	files[insideProgram] = c.Inside
	if c.CNI != "" {
		files[cniProgram] = c.CNI
	}
	return files
}

// Restore gives a node that has just booted, as far as anybody can tell: it has a boot ID
// of its own. It has no VFs yet, and its kubelet does not run.
func (s *Snapshot) Restore(ctx context.Context, c Config) (*Node, error) {
	system := s.system
	system.Network = c.Number + 1
	live, err := s.machine.Restore(ctx, system, s.file)
	if err != nil {
		return nil, fmt.Errorf("restoring node %s: %w", c.Name, err)
	}
	n := &Node{config: c, live: live, control: control.NewClient(live.Control), first: firstGUID + guid.GUID(c.Number)<<16}
	if n.door, err = openDoor(c); err == nil {
		err = n.become(ctx)
	}
	if err != nil {
		n.Kill()
		return nil, fmt.Errorf("node %s: %w; %w; %w", c.Name, err, agentsWords(live.Console()), live.Ended())
	}
	return n, nil
}

// firstGUID is of the VFs' own GUIDs, far from those that pods get; cardGUID of the cards'.
const (
	firstGUID guid.GUID = 0x0011_0000_0000_0000
	cardGUID  guid.GUID = 0xb8ce_f603_00f0_0000
)

func (n *Node) address() string { return fmt.Sprintf("10.0.%d.15", n.config.Number+1) }
func (n *Node) gateway() string { return fmt.Sprintf("10.0.%d.2", n.config.Number+1) }

func (n *Node) become(ctx context.Context) error {
	seed := make([]byte, 64)
	_, _ = rand.Read(seed) // never fails
	var err error
	n.bootID, err = n.control.Become(ctx, control.Identity{
		Now: time.Now(), Name: n.config.Name, Address: n.address() + "/24", Gateway: n.gateway(), Seed: seed,
	})
	if err != nil {
		return err
	}
	files, err := n.files()
	if err != nil {
		return err
	}
	return n.control.Write(ctx, files...)
}

// Start starts the kubelet, installs ibfabric's plugins, makes the VFs, and offers them to
// the kubelet. It does not wait for the API server to know of any of it.
func (n *Node) Start(ctx context.Context) error {
	if err := n.control.Start(ctx, "/var/log/kubelet.log", "kubelet", "--config="+kubeletFile, "--kubeconfig="+kubeletKubeconfig,
		"--hostname-override="+n.config.Name, "--node-ip="+n.address(), "--v=2"); err != nil {
		return err
	}
	if err := n.Fetch(ctx, insideProgram); err != nil {
		return err
	}
	if err := n.install(ctx); err != nil {
		return err
	}
	base := uint64(cardGUID) + uint64(n.config.Number)<<16
	if err := n.control.Load(ctx, fakeibFile, fmt.Sprintf("eth=%#x guid_base=%#x", 1<<RoCECard, base)); err != nil {
		return fmt.Errorf("loading the virtual HCA: %w", err)
	}
	if err := n.control.Start(ctx, "/var/log/bridge.log", insideProgram, "bridge"); err != nil {
		return err
	}
	if _, err := n.control.Exec(ctx, nil, insideProgram, "cards", n.first.String()); err != nil {
		return err
	}
	return n.offer(ctx)
}

// Fetch brings one of the files of its configuration into the node.
func (n *Node) Fetch(ctx context.Context, to string) error {
	return n.control.Write(ctx, control.File{Path: to, Mode: 0o755, URL: n.door.file(n.gateway(), to)})
}

// install does what ibfabric's DaemonSet does.
func (n *Node) install(ctx context.Context) error {
	if n.config.CNI == "" {
		return nil
	}
	if err := n.Fetch(ctx, cniProgram); err != nil {
		return err
	}
	if _, err := n.control.Exec(ctx, nil, cniProgram, "install"); err != nil {
		return err
	}
	return n.control.Start(ctx, "/var/log/ibfabric-cni-gc.log", cniProgram, "gc", "--every=1m")
}

// Pass has the node pass connections on: from addresses of its own, which it gets where it
// lacks them, to others. Host is where it finds this machine's 127.0.0.1.
func (n *Node) Pass(ctx context.Context, fromTo map[string]string) error {
	argv := []string{insideProgram, "pass"}
	for _, from := range sorted(fromTo) {
		argv = append(argv, from+"="+fromTo[from])
	}
	return n.control.Start(ctx, "/var/log/pass.log", argv...)
}

// Host is this machine's 127.0.0.1, as the node sees it.
func (n *Node) Host() string { return n.gateway() }

// Forward passes what comes to a port of 127.0.0.1 on to a port of the node's.
func (n *Node) Forward(port, to int) error {
	return n.live.Forward(port, fmt.Sprintf("%s:%d", n.address(), to))
}

// offer starts the device plugin.
func (n *Node) offer(ctx context.Context) error {
	list, err := n.VFs(ctx)
	if err != nil {
		return err
	}
	var pfs []string
	for _, vf := range list {
		if len(pfs) == 0 || pfs[len(pfs)-1] != vf.PF {
			pfs = append(pfs, vf.PF)
		}
	}
	argv := []string{"deviceplugin", "/var/lib/kubelet/device-plugins"}
	for _, resource := range sorted(n.config.Resources) {
		argv = append(argv, resource+"="+pfs[n.config.Resources[resource]])
	}
	return n.control.Start(ctx, "/var/log/deviceplugin.log", argv...)
}

// VFs are all of the node's, in the order of their cards and numbers.
func (n *Node) VFs(ctx context.Context) (list []vfs.VF, err error) {
	text, err := n.control.Exec(ctx, nil, insideProgram, "vfs")
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(text, &list)
}

// Control is for what only one test asks of the node.
func (n *Node) Control() *control.Client { return n.control }

// Line is the other end of the node's bridge; see test/lab/bridge.
func (n *Node) Line() net.Conn { return n.live.Line }

// Name is the node's.
func (n *Node) Name() string { return n.config.Name }

// BootID is what the node shows of this boot.
func (n *Node) BootID() string { return n.bootID }

// Ended is nil while the node runs.
func (n *Node) Ended() error { return n.live.Ended() }

// Console is all that its kernel and its first program have said.
func (n *Node) Console() string { return n.live.Console() }

// Kill cuts the node's power.
func (n *Node) Kill() {
	n.live.Kill()
	if n.door != nil {
		n.door.close()
	}
}

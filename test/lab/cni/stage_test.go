//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// stage is the node that a plugin, as a program, is played on. What goes wrong is an error
// and not the end of the test: of somebody else's plugin it is a finding.
type stage struct {
	lab    *Lab
	plugin program
	kind   string // its CNI type
	before map[host.PCI]vfState
	netdev map[host.PCI]string // names of netdevs that the stage has moved into pods
}

func newStage(l *Lab, p program, kind string) *stage {
	return &stage{lab: l, plugin: p, kind: kind, before: l.look(), netdev: map[host.PCI]string{}}
}

// stateDirs are where plugins keep what they must remember.
func stateDirs() []string { return []string{"/var/lib/cni", "/run/cni", "/run/ibfabric"} }

// forgetState takes everything from a plugin that it might remember.
func forgetState() {
	for _, dir := range stateDirs() {
		_ = os.RemoveAll(dir)
	}
}

// stateFiles are what a plugin has written down.
func stateFiles() (files []string) {
	for _, dir := range stateDirs() {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
	}
	return files
}

func (s *stage) vf(i int) host.PCI {
	if s.kind == "ib-sriov" {
		return s.lab.VFs()[i]
	}
	return s.lab.RoCE()[i]
}

// pod is one that gets VF number i, of a network that the fabric knows.
func (s *stage) pod(id string, i int) interfaceOf {
	if s.kind == "ib-sriov" {
		g := s.guid(id)
		s.lab.Program(g, 0x8010, 0x7fff)
		return s.lab.attachment(id, i, g)
	}
	return interfaceOf{id: id, ns: s.lab.NewNetNS(id), config: map[string]any{
		"cniVersion": "1.0.0", "name": "roce1", "type": s.kind, "deviceID": string(s.vf(i)),
	}}
}

// guid is one for each pod.
func (s *stage) guid(id string) guid.GUID {
	g := guid.GUID(0x0200_0000_0000_0000)
	for i := range len(id) {
		g += guid.GUID(id[i]) << (8 * (i % 5))
	}
	return g
}

func device(of interfaceOf) host.PCI { return host.PCI(of.config["deviceID"].(string)) }

// add plays the runtime. What comes before a chained plugin is the stage's to do.
func (s *stage) add(ctx context.Context, of interfaceOf) error {
	if s.kind == "rdma" {
		if err := s.netdevIn(ctx, of); err != nil {
			return fmt.Errorf("the stage: %w", err)
		}
	}
	_, err := s.plugin.call(ctx, "ADD", of)
	return err
}

// netdevIn moves a VF's netdev into the pod, as sriov does, and writes its answer down.
func (s *stage) netdevIn(ctx context.Context, of interfaceOf) error {
	of.config["prevResult"] = map[string]any{
		"cniVersion": "1.0.0", "interfaces": []any{map[string]any{"name": "net1", "sandbox": string(of.ns)}},
	}
	n, err := s.lab.host.Netdev(ctx, host.Home, device(of))
	if errors.Is(err, host.ErrNotFound) {
		return nil // another pod's
	}
	if err == nil {
		if s.netdev[device(of)] == "" { // a namespace's end brings it home under the pod's name
			s.netdev[device(of)] = n.Name
		}
		err = s.lab.host.MoveNetdev(ctx, host.Home, n.Index, of.ns, "net1")
	}
	return err
}

func (s *stage) del(ctx context.Context, of interfaceOf) error {
	_, err := s.plugin.call(ctx, "DEL", of)
	if s.kind == "rdma" {
		err = errors.Join(err, s.netdevOut(ctx, of))
	}
	return err
}

// netdevOut is sriov's DEL: it takes the netdev home from wherever it is.
func (s *stage) netdevOut(ctx context.Context, of interfaceOf) error {
	name, at := s.netdev[device(of)], of.ns
	n, err := s.lab.host.Netdev(ctx, at, device(of))
	if err != nil { // at home, or on its way there
		at = host.Home
		if n, err = s.lab.host.Netdev(ctx, at, device(of)); err != nil {
			return nil
		}
	}
	if name == "" || n.Name == name {
		return nil
	}
	if at == host.Home {
		return s.lab.host.RenameNetdev(ctx, at, n.Index, name)
	}
	return s.lab.host.MoveNetdev(ctx, at, n.Index, host.Home, name)
}

// has fails unless the pod has what its network gives.
func (s *stage) has(ctx context.Context, of interfaceOf) error {
	k := s.lab.host
	if s.kind != "sriov" {
		if _, err := k.RDMADevice(ctx, of.ns, device(of)); err != nil {
			return fmt.Errorf("RDMA device in the pod %s: %w", of.id, err)
		}
		if _, err := k.RDMADevice(ctx, host.Home, device(of)); !errors.Is(err, host.ErrNotFound) {
			return fmt.Errorf("the host sees the RDMA device of the pod %s still (%v)", of.id, err)
		}
	}
	n, err := k.Netdev(ctx, of.ns, device(of))
	if err != nil || n.Name != "net1" {
		return fmt.Errorf("netdev in the pod %s: %+v, %v", of.id, n, err)
	}
	if s.kind != "ib-sriov" {
		return nil
	}
	p, err := k.Port(ctx, of.ns, device(of))
	if err != nil || p.GUID != s.guid(of.id) || p.State != host.PortActive || !slices.Contains(p.PKeys, 0x8010) {
		return fmt.Errorf("port in the pod %s: %+v, %v", of.id, p, err)
	}
	return nil
}

// comesHome is how long the kernel may take for what a namespace's end brings back.
const comesHome = 30 * time.Second

// restored fails unless all VFs are, or come to be, as they were before the story.
func (s *stage) restored() error {
	var now map[host.PCI]vfState
	for end := time.Now().Add(comesHome); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now = s.lab.look(); maps.Equal(now, s.before) {
			return nil
		}
	}
	return fmt.Errorf("VFs are not as before (-before +now):\n%s", cmp.Diff(s.before, now, cmp.AllowUnexported(vfState{})))
}

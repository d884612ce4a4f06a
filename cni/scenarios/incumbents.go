package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
)

// Stories of a node that changed over while pods of ib-sriov-cni, sriov-cni and rdma-cni
// ran. ADD stands in for those: it leaves devices as they would, and its record is lost.

// leave writes an incumbent's file.
func leave(t *testing.T, file string, content map[string]any) {
	t.Helper()
	text, err := json.Marshal(content)
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// forget loses all records.
func (n *node) forget() {
	n.t.Helper()
	if err := os.RemoveAll(n.env.Store.Dir()); err != nil {
		n.t.Fatal(err)
	}
}

// byIBSriov has a pod be one of ib-sriov-cni's.
func (n *node) byIBSriov(p *pod) (file string) {
	n.t.Helper()
	was, cache := n.before[p.vf], maps.Clone(p.config)
	cache["HostIFNames"], cache["HostIFGUID"], cache["VFID"], cache["Master"] = was.Netdev, was.Port.String(), 0, "ib0"
	file = filepath.Join(n.env.Incumbents.IBSriov, p.id+"-"+p.ifname)
	leave(n.t, file, cache)
	return file
}

// bySriov has a pod be one of sriov-cni's, the last that its VF was given to.
func (n *node) bySriov(p *pod) (file, mark string) {
	n.t.Helper()
	was, cache := n.before[p.vf], maps.Clone(p.config)
	cache["OrigVfState"] = map[string]any{
		"HostIFName": was.Netdev, "SpoofChk": was.Config.Ethernet.SpoofCheck, "Trust": was.Config.Ethernet.Trust,
		"AdminMAC": was.Config.Ethernet.MAC.String(), "EffectiveMAC": was.Addr, "MTU": was.MTU, "VlanProto": was.Config.Ethernet.Proto,
	}
	file, mark = filepath.Join(n.env.Incumbents.Sriov, p.id+"-"+p.ifname), filepath.Join(n.env.Incumbents.Sriov, "pci", string(p.vf))
	leave(n.t, file, cache)
	leave(n.t, mark, nil)
	if err := os.WriteFile(mark, []byte(p.ns), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file, mark
}

// byRDMA has a pod's RDMA device be rdma-cni's to bring home.
func (n *node) byRDMA(p *pod) (file string) {
	n.t.Helper()
	file = filepath.Join(n.env.Incumbents.RDMA, p.config["name"].(string)+"-"+p.id+"-"+p.ifname)
	leave(n.t, file, map[string]any{"version": "1.0", "deviceID": string(p.vf), "sandboxRdmaDevName": "mlx5_9", "containerRdmaDevName": "mlx5_9"})
	return file
}

func (n *node) noFile(files ...string) {
	n.t.Helper()
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			n.t.Errorf("%s is left", file)
		}
	}
}

func (n *node) collectIncumbents() {
	n.t.Helper()
	if err := plugin.CollectIncumbents(context.Background(), n.env); err != nil {
		n.t.Fatal(err)
	}
}

// DelAfterIncumbent is a pod of ib-sriov-cni.
func DelAfterIncumbent(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.pod("c1", 0, 0x0200000000000100)
	n.mustAdd(p)
	n.forget()
	file := n.byIBSriov(p)
	n.mustDel(p)
	n.untouched("after DEL")
	n.noFile(file)
}

// RoCEAfterIncumbent is a pod of sriov-cni.
func RoCEAfterIncumbent(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	p := n.roce("c1", 0, 1).with("rdmaIsolation", nil)
	n.mustAdd(p)
	n.forget()
	file, mark := n.bySriov(p)
	n.mustDel(p)
	n.untouched("after DEL")
	n.noFile(file, mark)
}

// RDMAAfterIncumbent is a pod of rdma-cni, chained behind a sriov that is ibfabric's.
func RDMAAfterIncumbent(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	p := n.roce("c1", 0, 1).chained()
	n.mustAdd(p)
	if err := os.RemoveAll(filepath.Join(n.env.Store.Dir(), "rdma")); err != nil {
		t.Fatal(err)
	}
	file := n.byRDMA(p)
	n.mustDel(p)
	n.untouched("after DEL")
	n.noFile(file)
}

// older makes a file look as if it was written before all others.
func older(t *testing.T, file string) {
	t.Helper()
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
}

// LateIncumbentDel is a sandbox of ib-sriov-cni whose DEL failed then, and comes again
// when its VF is another pod's, whom ib-sriov-cni gave it.
func LateIncumbentDel(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	late, now := n.pod("c1", 0, 0x0200000000000100), n.pod("c2", 0, 0x0200000000000200)
	lab.EndNetNS(late.ns)
	n.mustAdd(now)
	n.forget()
	stale, file := n.byIBSriov(late), n.byIBSriov(now)
	older(t, stale)
	for _, ns := range []host.NetNS{late.ns, host.Home} {
		late.ns = ns
		n.mustDel(late)
		n.inPod(now)
		n.noFile(stale)
		n.byIBSriov(late)
		older(t, stale)
	}
	n.mustDel(now)
	n.untouched("after the DEL of the pod that has it")
	n.noFile(file)
}

// LateRoCEIncumbentDel is the same with sriov-cni, which wrote down who has a VF; the
// times of its files say nothing here.
func LateRoCEIncumbentDel(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	late, now := n.roce("c1", 0, 1).with("rdmaIsolation", nil), n.roce("c2", 0, 2).with("rdmaIsolation", nil)
	lab.EndNetNS(late.ns)
	n.mustAdd(now)
	n.forget()
	file, mark := n.bySriov(now)
	older(t, file)
	stale, _ := n.bySriov(late)
	n.bySriov(now)
	older(t, file)
	n.mustDel(late)
	n.noFile(stale)
	if e := n.ethernet(now.vf); e.VLAN != 100 || e.MAC.String() != now.config["mac"] {
		t.Errorf("the pod's VF was reset: %+v", e)
	}
	if netdev, err := lab.Kernel().Netdev(context.Background(), now.ns, now.vf); err != nil || netdev.Name != "net1" {
		t.Errorf("the pod lost its netdev: %+v, %v", netdev, err)
	}
	if text, err := os.ReadFile(mark); string(text) != string(now.ns) {
		t.Errorf("the mark that the device is taken: %q, %v", text, err)
	}
	n.mustDel(now)
	n.untouched("after the DEL of the pod that has it")
	n.noFile(file, mark)
}

// GCIncumbents is a node whose incumbents' pods go without a DEL.
func GCIncumbents(t *testing.T, lab Lab) {
	n := roceNode(t, lab)
	ib, roce := n.pod("c1", 0, 0x0200000000000100).with("ipam", nil), n.roce("c2", 0, 1).with("rdmaIsolation", nil).with("ipam", nil)
	chained := n.roce(strings.Repeat("c3", 32), 1, 1).with("name", "roce-1").with("ipam", nil)
	for _, p := range []*pod{ib, roce, chained} {
		n.mustAdd(p)
	}
	n.forget()
	file, mark := n.bySriov(roce)
	chainedFile, chainedMark := n.bySriov(chained)
	files := []string{n.byIBSriov(ib), file, mark, n.byRDMA(chained), chainedFile, chainedMark}
	n.collectIncumbents()
	n.inPod(ib)
	n.inPod(chained)
	if e := n.ethernet(roce.vf); e.VLAN != 100 {
		t.Errorf("a live pod's VF was taken: %+v", e)
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("a live pod's file: %v", err)
		}
	}
	for _, p := range []*pod{ib, roce, chained} {
		lab.EndNetNS(p.ns)
	}
	n.settled()
	n.collectIncumbents()
	n.collectIncumbents()
	n.homeAgain("after gc")
	n.noFile(files...)
}

// IncumbentAfterReboot is a node that changed over and was rebooted: whatever its
// incumbents' files say, its VFs are new.
func IncumbentAfterReboot(t *testing.T, lab Lab) {
	for name, end := range map[string]func(*node, *pod){
		"DEL": (*node).mustDel, "gc": func(n *node, _ *pod) { n.collectIncumbents() },
	} {
		n := newNode(t, lab)
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		n.forget()
		file := n.byIBSriov(p)
		older(t, file)
		lab.Reboot()
		n.setOwn(p.vf, 0x0011000000009999) // this boot's scripts gave it another
		n.env.Booted = time.Now().Add(-time.Minute)
		next := n.pod("c2", 0, 0x0200000000000200)
		for _, verb := range n.rehearse(func() { end(n, p) }) {
			if changes(verb) {
				t.Errorf("%s: %s was called for a device of another boot", name, verb)
			}
		}
		n.noFile(file)
		n.mustAdd(next)
		n.mustDel(next)
		n.untouched(name + " after the reboot")
	}
}

// CacheFileOfNothing is a cache file whose device would become a path.
func CacheFileOfNothing(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	for _, device := range []string{"", "../../x", "0000:17:00.2/../../x"} {
		p := n.pod("c1", 0, 0x0200000000000100).with("deviceID", device)
		leave(t, filepath.Join(n.env.Incumbents.IBSriov, "c1-net1"), p.config)
		for _, verb := range n.rehearse(func() { n.mustDel(p) }) {
			if changes(verb) || verb == "Device" {
				t.Errorf("%q: %s was called", device, verb)
			}
		}
		if old, err := n.env.Incumbents.FromIBSriov(record.Key{ContainerID: "c1", IfName: "net1"}); old != nil || err != nil {
			t.Errorf("%q: the file is left: %v", device, err)
		}
	}
}

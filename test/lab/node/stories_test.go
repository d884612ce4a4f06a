//go:build linux

package node

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/node/seen"
)

// kernel is the node's.
const kernel = "6.12"

// story is one of a node. Long ones take minutes.
type story struct {
	name string
	tell func(*world)
	long bool
}

// chosen are the stories that RUN= names, or else those that are not long, and with LONG=1 all.
func chosen(t *testing.T) []story {
	t.Helper()
	stories := []story{
		{name: "a pod comes to its partition and leaves nothing behind", tell: (*world).wholeWay},
		{name: "two pods in two partitions have each its own PKey", tell: (*world).twoPartitions},
		{name: "a RoCE pod gets its VF by the sibling path", tell: (*world).roce},
		{name: "pods of two nodes meet in one partition", tell: (*world).twoNodes, long: true},
		{name: "the GUID of a lost node's pod stays held until the node is back", tell: (*world).lostNode},
		// The last: no controller runs on this machine after it.
		{name: "the shipped images do it all in pods of their manifests", tell: (*world).shipped, long: true},
	}
	run, long := os.Getenv("IBFABRIC_LAB_RUN"), os.Getenv("IBFABRIC_LAB_LONG") != ""
	wanted, err := regexp.Compile(run)
	must(t, err)
	return slices.DeleteFunc(stories, func(s story) bool {
		return !wanted.MatchString(s.name) || run == "" && s.long && !long
	})
}

// TestOnARealNode tells its stories one after the other: they share a cluster and a node.
func TestOnARealNode(t *testing.T) {
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: boots a Kubernetes node in a virtual machine; make lab runs it (IBFABRIC_LAB=1)")
	}
	stories := chosen(t)
	if len(stories) == 0 {
		t.Skip("SKIPPED: no story of the node has that name")
	}
	if kernels := os.Getenv("IBFABRIC_LAB_KERNELS"); kernels != "" && !slices.Contains(strings.Fields(kernels), kernel) {
		t.Skipf("SKIPPED: the node has been run with kernel %s only, and KERNELS is %s", kernel, kernels)
	}
	t.Run("kernel "+kernel, func(t *testing.T) {
		w := newWorld(t)
		for _, s := range stories {
			t.Run(s.name, func(t *testing.T) {
				defer func(outer *testing.T) { w.t = outer }(w.t)
				w.t = t
				defer w.showWhy(t)
				s.tell(w)
			})
		}
	})
}

func (w *world) wholeWay() {
	w.rail("rail-a", "0x10", hostLocal("10.100.1.0/24"))
	if status, answer := w.sim.Call("POST", "/ufm-sim/faults", `{"kind":"status","status":502,"op":"add"}`); status != http.StatusCreated {
		w.t.Fatalf("ufm-sim takes no fault: %d %s", status, answer)
	}
	pod := w.pod("a", "rail-a", ibResource)
	if len(pod.Spec.SchedulingGates) != 1 {
		w.t.Errorf("the pod came without its gate: %v", pod.Spec.SchedulingGates)
	}
	w.told(namespace, "a", "FabricWaiting", "")
	if now, err := w.get("a"); err != nil || len(now.Spec.SchedulingGates) != 1 {
		w.t.Errorf("UFM refuses the pod, and its gates are %v (%v)", now.Spec.SchedulingGates, err)
	}
	w.sim.Must("DELETE", "/ufm-sim/faults", "")
	w.goesOn("a")
	g := w.guidOf("a")
	w.membersBecome("0x10", g)
	s := w.sees("a")
	if table, err := w.fabric.PKeys(w.ctx(), g); err != nil || !sameEntries(table, 0x7fff, 0x8010) {
		w.t.Errorf("OpenSM programmed %#04x (%v)", table, err)
	}
	// The pod.
	if len(s.Devices) != 1 {
		w.t.Fatalf("the pod sees %+v", s.Devices)
	}
	d := s.Devices[0]
	if d.LinkLayer != "InfiniBand" || d.State != "4: ACTIVE" || !sameEntries(d.PKeys, 0x7fff, 0x8010) || !strings.HasSuffix(d.GID, g.Sysfs()) {
		w.t.Errorf("the pod's port is %+v, and its GUID %s", d, g.Sysfs())
	}
	w.ownFiles(s.Files)
	net1 := slices.IndexFunc(s.Netdevs, func(n seen.Netdev) bool { return n.Name == "net1" })
	if net1 < 0 || !strings.HasSuffix(s.Netdevs[net1].Address, g.String()) || !hasIPIn(s.Netdevs[net1].IPs, "10.100.1.") {
		w.t.Errorf("the pod's interfaces are %+v", s.Netdevs)
	}
	// The node.
	if vf := w.vfOf("a", s); vf.PortGUID != g || vf.NodeGUID != g || vf.HasRDMA || vf.HasNetdev {
		w.t.Errorf("the node still has of the VF: %+v, want only GUID %s at its PF", vf, g)
	}
	if files := w.kept(w.nodeOf("a")); len(files) != 2 {
		w.t.Errorf("the node keeps %q of the pod, want a record and an address", files)
	}
	w.deletePod("a")
	w.nothingLeft("0x10")
}

func (w *world) twoPartitions() {
	w.rail("rail-a", "0x10", hostLocal("10.100.1.0/24"))
	w.rail("rail-b", "0x20", capability+hostLocal("10.100.2.0/24"))
	w.pod("a", "rail-a", ibResource)
	w.pod("b", "rail-b", ibResource)
	for name, own := range map[string]uint16{"a": 0x8010, "b": 0x8020} {
		s := w.sees(name)
		if len(s.Devices) != 1 || !sameEntries(s.Devices[0].PKeys, 0x7fff, own) {
			w.t.Errorf("pod %s sees %+v, want one device with PKey %#x", name, s.Devices, own)
		}
	}
	w.membersBecome("0x10", w.guidOf("a"))
	w.membersBecome("0x20", w.guidOf("b"))
	w.deletePod("a")
	w.deletePod("b")
	w.nothingLeft("0x10", "0x20")
}

func (w *world) roce() {
	w.network("roce", roceResource, `{"cniVersion":"1.0.0","name":"roce","plugins":[
		{"type":"sriov","vlan":100,"ipam":{"type":"host-local","subnet":"10.100.3.0/24"}},{"type":"rdma"}]}`)
	if pod := w.pod("c", "roce", roceResource); len(pod.Spec.SchedulingGates) != 0 {
		w.t.Errorf("a RoCE pod waits at %v", pod.Spec.SchedulingGates)
	}
	s := w.sees("c")
	if len(s.Devices) != 1 || s.Devices[0].LinkLayer != "Ethernet" {
		w.t.Fatalf("the pod sees %+v", s.Devices)
	}
	w.ownFiles(s.Files)
	vf := w.vfOf("c", s)
	net1 := slices.IndexFunc(s.Netdevs, func(n seen.Netdev) bool { return n.Name == "net1" })
	if net1 < 0 || s.Netdevs[net1].Address != vf.MAC || !hasIPIn(s.Netdevs[net1].IPs, "10.100.3.") {
		w.t.Errorf("the pod's interfaces are %+v, and the VF is %+v", s.Netdevs, vf)
	}
	if vf.VLAN != 100 || vf.HasRDMA || vf.HasNetdev {
		w.t.Errorf("the node has of the VF: %+v, want only VLAN 100 at its PF", vf)
	}
	if rows := w.rows(); len(rows) != 0 {
		w.t.Errorf("a RoCE pod has a GUID: %v", rows)
	}
	w.deletePod("c")
	w.nothingLeft()
}

func (w *world) lostNode() {
	w.rail("rail-a", "0x10", hostLocal("10.100.1.0/24"))
	w.rail("rail-b", "0x20", capability+hostLocal("10.100.2.0/24"))
	w.pod("lost", "rail-a", ibResource)
	w.sees("lost")
	g := w.guidOf("lost")
	n := w.nodeOf("lost")

	n.Kill()
	w.eventually("the node is not Ready", func() (bool, string) {
		o := w.object(n.Name())
		return !isReady(o), fmt.Sprint(o.Status.Conditions)
	})
	w.deletePod("lost", client.GracePeriodSeconds(0))
	w.membersBecome("0x10")
	// Another pod's life is long enough for the hold: it never has a node. Without a word of it
	// the scheduler might give it the lost one, as long as that has no taint.
	w.pod("brief", "rail-b", ibResource, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "nowhere"} })
	w.goesOn("brief")
	brief := w.guidOf("brief")
	if brief == g {
		w.t.Errorf("pod brief got %s, which the lost node may still use", g)
	}
	w.deletePod("brief", client.GracePeriodSeconds(0))
	w.eventually("the GUID of pod brief is free again", func() (bool, string) {
		rows := w.rows()
		_, there := rows[brief.String()]
		return !there, fmt.Sprint(rows)
	})
	if row := w.rows()[g.String()]; row.State != v1alpha1.Held || row.Node != n.Name() || row.BootID != n.BootID() {
		w.t.Errorf("the row of the lost node's GUID is %+v, want it held for boot %s", row, n.BootID())
	}

	w.startNode(1)
	w.nothingLeft("0x10", "0x20")
}

func (w *world) twoNodes() {
	w.needsMemory(5 << 30)
	second := w.startNode(2)
	w.rail("rail-c", "0x30", "")
	for _, name := range []string{"node-1", "node-2"} {
		w.pod("on-"+name, "rail-c", ibResource, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: name} })
	}
	var guids []guid.GUID
	for _, name := range []string{"on-node-1", "on-node-2"} {
		if s := w.sees(name); len(s.Devices) != 1 || !sameEntries(s.Devices[0].PKeys, 0x7fff, 0x8030) {
			w.t.Errorf("pod %s sees %+v", name, s.Devices)
		}
		guids = append(guids, w.guidOf(name))
	}
	w.membersBecome("0x30", guids...)
	w.deletePod("on-node-1")
	w.membersBecome("0x30", guids[1])
	w.sim.Applied() // before it the table is the former one
	if table, err := w.fabric.PKeys(w.ctx(), guids[1]); err != nil || !sameEntries(table, 0x7fff, 0x8030) {
		w.t.Errorf("the port of the pod that stays has %#04x (%v)", table, err)
	}
	w.deletePod("on-node-2")
	w.nothingLeft("0x30")
	second.Kill()
	delete(w.nodes, second.Name())
	must(w.t, w.api.Delete(w.ctx(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: second.Name()}}))
}

// ownFiles wants the device files of one VF, and no other's.
func (w *world) ownFiles(files []string) {
	w.t.Helper()
	kinds := make([]string, len(files))
	for i, file := range files {
		kinds[i] = strings.TrimRight(file, "0123456789")
	}
	if want := []string{"rdma_cm", "umad", "uverbs"}; !slices.Equal(kinds, want) && !slices.Equal(kinds, []string{"rdma_cm", "uverbs"}) {
		w.t.Errorf("the pod has the files %q in /dev/infiniband", files)
	}
}

// sameEntries compares the entries of a PKey table, in whatever order.
func sameEntries(table []uint16, want ...uint16) bool {
	table = slices.DeleteFunc(slices.Clone(table), func(e uint16) bool { return e == 0 })
	slices.Sort(table)
	slices.Sort(want)
	return slices.Equal(table, want)
}

func hasIPIn(ips []string, prefix string) bool {
	return slices.ContainsFunc(ips, func(ip string) bool { return strings.HasPrefix(ip, prefix) })
}

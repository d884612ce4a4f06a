package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/guid"
)

// sandbox is what Multus and kubelet do to start a pod: one rail after the other, and all
// of them deleted, twice, when one fails.
func (n *node) sandbox(id string, rails int) (pods []*pod, err error) {
	for i := range rails {
		p := n.rail(id, i)
		p.args = "IgnoreUnknown=1;K8S_POD_UID=uid-1"
		pods = append(pods, p)
		if _, err = n.add(p); err != nil {
			break
		}
	}
	if err == nil {
		return pods, nil
	}
	for range 2 {
		for i := len(pods) - 1; i >= 0; i-- {
			n.mustDel(pods[i])
		}
	}
	n.lab.EndNetNS(pods[0].ns)
	return pods, err
}

// EightRails is a pod that needs longer than one try may take. What a try has done is not
// undone, so the second has less to wait for.
func EightRails(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	n.env.KeepFor = 3 * time.Minute
	tries, began := 0, time.Now()
	var pods []*pod
	for {
		tries++
		start := time.Now()
		var err error
		pods, err = n.sandbox(fmt.Sprint("try", tries), 8)
		if took := time.Since(start); took > 2*time.Minute {
			t.Fatalf("try %d took %v, longer than a kubelet waits", tries, took)
		}
		if err == nil {
			break
		}
		if !isCode(err, types.ErrTryAgainLater) || tries == 2 {
			t.Fatalf("try %d: %v", tries, err)
		}
		n.noAddressLeft()
		time.Sleep(15 * time.Second) // kubelet's own pause
	}
	t.Logf("%d tries, %v", tries, time.Since(began))
	for _, p := range pods {
		n.inPod(p)
		if err := n.check(p); err != nil {
			t.Errorf("%s: %v", p.ifname, err)
		}
	}
	for _, p := range pods {
		n.mustDel(p)
	}
	n.homeAgain("after DEL")
	n.noneKept()
}

// homeAgain fails unless every VF has its own GUID and nothing is left of any pod. Names
// may have changed: several rebinds hand them out anew.
func (n *node) homeAgain(when string) {
	n.t.Helper()
	for pci, now := range n.settled() {
		if was := n.before[pci]; now.Config != was.Config || now.Node != was.Node || now.Port != was.Port || now.Driver != was.Driver {
			n.t.Errorf("%s: %s is %+v, want %+v", when, pci, now, was)
		}
	}
	if left := n.recorded(); len(left) > 0 {
		n.t.Errorf("%s: records left of %v", when, left)
	}
	n.noAddressLeft()
}

func (n *node) noAddressLeft() {
	n.t.Helper()
	if left := n.ipam.left(); len(left) > 0 {
		n.t.Errorf("addresses left: %v", left)
	}
}

func (n *node) noneKept() {
	n.t.Helper()
	if kept, err := n.env.Kept.All(); err != nil || len(kept) > 0 {
		n.t.Errorf("still kept: %+v, %v", kept, err)
	}
}

// givenUp is a pod whose fabric did not come in time; its VF keeps its GUID.
func (n *node) givenUp(id string, vf int, g guid.GUID, uid string) *pod {
	n.t.Helper()
	n.env.KeepFor = 3 * time.Minute
	p := n.pod(id, vf, g).with("fabricTimeout", "1s").arg("ibfabric.io/pkeys", "0x7ffe:full")
	p.args = "K8S_POD_UID=" + uid
	if _, err := n.add(p); !isCode(err, types.ErrTryAgainLater) {
		n.t.Fatalf("ADD without a fabric: %v", err)
	}
	n.mustDel(p)
	if now := n.state(p.vf); now.Config.PortGUID != g || now.Port != g {
		n.t.Errorf("the VF has not kept %s: %+v", g, now)
	}
	n.lab.EndNetNS(p.ns)
	return p
}

// KeptIsOwned is another pod on a VF that keeps a GUID, and the same pod on another VF.
func KeptIsOwned(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	n.givenUp("c1", 0, 0x0200000000000100, "uid-1")
	other := n.pod("c2", 0, 0x0200000000000200)
	n.mustAdd(other)
	n.inPod(other)
	n.noneKept()
	n.mustDel(other)
	n.homeAgain("after another pod on the VF")

	// The GUID may have gone to another pod since; its UID tells.
	n.givenUp("c3", 0, 0x0200000000000100, "uid-1")
	heir := n.pod("c4", 0, 0x0200000000000100)
	heir.args = "K8S_POD_UID=uid-2"
	if verbs := n.rehearse(func() { n.mustAdd(heir) }); !slices.Contains(verbs, "SetVFGUID") {
		n.t.Error("it went on where another pod had ended")
	}
	n.inPod(heir)
	n.noneKept()
	n.mustDel(heir)
	n.homeAgain("after another pod with the GUID")

	// The same pod, for which nobody has a GUID any more, gets the VF's own.
	n.givenUp("c7", 0, 0x0200000000000100, "uid-1")
	plain := n.pod("c8", 0, n.before[lab.VFs()[0]].Port).with("ibKubernetesEnabled", nil).arg("guid", "")
	plain.args = "K8S_POD_UID=uid-1"
	n.mustAdd(plain)
	n.inPod(plain)
	n.mustDel(plain)
	n.homeAgain("after a pod without a GUID")

	// One GUID is never on two VFs.
	n.givenUp("c5", 0, 0x0200000000000100, "uid-1")
	moved := n.pod("c6", 1, 0x0200000000000100)
	moved.args = "K8S_POD_UID=uid-1"
	n.mustAdd(moved)
	n.inPod(moved)
	if now := n.state(lab.VFs()[0]); now.Port == moved.guid || now.Config.PortGUID == moved.guid {
		t.Errorf("the GUID is on two VFs: %+v", now)
	}
	n.noneKept()
	n.mustDel(moved)
	n.homeAgain("after the same pod on another VF")
}

// setOwn gives a VF at home another GUID of its own.
func (n *node) setOwn(vf host.PCI, g guid.GUID) {
	n.t.Helper()
	ctx, k := context.Background(), n.lab.Kernel()
	n.settled()
	n.setGUID(vf, g)
	d, err := k.Device(ctx, vf)
	if err := errors.Join(err, k.Unbind(ctx, vf), k.Bind(ctx, vf, d.Driver)); err != nil {
		n.t.Fatal(err)
	}
	n.before = n.settled()
}

// KeptEnds is a pod that was deleted before its next try.
func KeptEnds(t *testing.T, lab Lab) {
	n := newNode(t, lab)
	p := n.givenUp("c1", 0, 0x0200000000000100, "uid-1")
	collect := func() {
		t.Helper()
		if err := plugin.Collect(context.Background(), n.env); err != nil {
			t.Fatal(err)
		}
	}
	collect()
	if now := n.state(p.vf); now.Port != p.guid {
		t.Errorf("gc undid what is kept for another two minutes: %+v", now)
	}
	later := time.Now().Add(4 * time.Minute)
	n.env.Now = func() time.Time { return later }
	collect()
	n.noneKept()
	n.homeAgain("after the time is over")

	// A reboot has put back the VF; the record must not do it again.
	n.env.Now = time.Now
	p = n.givenUp("c2", 1, 0x0200000000000200, "uid-2")
	lab.Reboot()
	n.setOwn(p.vf, 0x0011000000009999) // this boot's scripts give it another
	p.id, p.ns = "c3", lab.NewNetNS("c3")
	p.arg("ibfabric.io/pkeys", "").with("fabricTimeout", nil)
	n.mustAdd(p)
	n.inPod(p)
	n.mustDel(p)
	n.homeAgain("after the reboot")
	n.noneKept()

	// Where nobody calls gc, nothing is kept.
	n.env.KeepFor = 0
	q := n.pod("c4", 2, 0x0200000000000300).with("fabricTimeout", "1s").arg("ibfabric.io/pkeys", "0x7ffe:full")
	if _, err := n.add(q); err == nil {
		t.Error("ADD without a fabric went through")
	}
	n.homeAgain("without gc")
	n.noneKept()
}

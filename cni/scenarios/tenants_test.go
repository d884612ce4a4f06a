package scenarios

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
)

// Stories of one tenant's VF or GUID that must not get to another.

// A GUID stands in an annotation, which a tenant writes.
func TestAGUIDThatAPodHasIsGivenToNoOther(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		owner := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(owner)
		thief := n.pod("c2", 1, owner.guid)
		verbs := n.rehearse(func() {
			if _, err := n.add(thief); !isCode(err, types.ErrTryAgainLater) || !strings.Contains(err.Error(), "is on device "+string(owner.vf)) {
				t.Errorf("got %v", err)
			}
		})
		if slices.Contains(verbs, "SetVFGUID") {
			t.Error("the GUID was on two VFs")
		}
		n.inPod(owner)
		n.mustDel(thief)
		l.EndNetNS(owner.ns) // its DEL never comes
		n.mustAdd(thief)
		n.inPod(thief)
		n.mustDel(thief)
		n.mustDel(owner)
		n.homeAgain("in the end")
	})
}

func TestOfADDsThatBringOneGUIDAtOnceNoTwoHaveIt(t *testing.T) {
	quickly(t, hostfake.Options{SMDelay: time.Second}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []*pod
		for i := range 4 {
			p := n.pod(string(rune('a'+i)), i, 0x0200000000000100)
			wg.Go(func() {
				if _, err := n.add(p); err == nil {
					mu.Lock()
					defer mu.Unlock()
					won = append(won, p)
				}
			})
		}
		wg.Wait()
		if len(won) > 1 {
			t.Errorf("%d pods have the GUID", len(won))
		}
		for _, p := range won {
			n.mustDel(p)
		}
		n.homeAgain("in the end")
	})
}

// heldUp lets a DEL read its record and then wait for the device's lock, which story holds.
func heldUp(t *testing.T, n *node, p *pod, story func(release func())) error {
	t.Helper()
	release, err := n.env.Locks.Device(context.Background(), string(p.vf))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- n.del(p) }()
	time.Sleep(time.Second) // of the bubble: it waits now
	story(release)
	return <-done
}

func TestADELThatWaitedDoesNotUndoWhatTheNextPodHas(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		next := n.pod("c2", 0, 0x0200000000000200)
		err := heldUp(t, n, p, func(release func()) {
			// The other DEL and the next pod's ADD come to the lock before it does.
			locked := *n.env
			locked.Locks.Dir = filepath.Join(t.TempDir(), "locks")
			n2 := *n
			n2.env = &locked
			n2.mustDel(p)
			n2.mustAdd(next)
			release()
		})
		if err != nil {
			t.Errorf("the DEL that waited: %v", err)
		}
		n.inPod(next)
		n.mustDel(next)
		n.untouched("in the end")
	})
}

// A namespace hides a VF that was kept from the next pod; /dev/vfio does not.
func TestAVFForVFIOKeepsNoGUIDForARetry(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) { l.SetDriver(l.vfs[0], host.VFIO) }, func(t *testing.T, n *node, l *fakeLab) {
		n.env.KeepFor = 3 * time.Minute
		was := n.state(l.vfs[0])
		vm := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(vm)
		rail := n.pod("c1", 1, 0x0200000000000200).with("fabricTimeout", "1s").arg("ibfabric.io/pkeys", "0x7ffe:full")
		rail.ifname = "net2"
		if _, err := n.add(rail); !isCode(err, types.ErrTryAgainLater) {
			t.Fatalf("ADD without a fabric: %v", err)
		}
		n.mustDel(rail)
		n.mustDel(vm)
		if now := n.state(vm.vf); now != was {
			t.Errorf("after DEL it is %+v, want %+v", now, was)
		}
	})
}

// A retry that fails before it comes to the GUID must not forget that it is there.
func TestARetryThatFailsAtOnceUndoesWhatWasKept(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.givenUp("c1", 0, 0x0200000000000100, "uid-1")
		d, _ := l.Device(context.Background(), p.vf)
		_ = l.SetVFLinkState(context.Background(), d.VF, host.Disable) // somebody's script
		p.id, p.ns = "c2", l.NewNetNS("c2")
		refused := false
		n.faults.Plan(func(_ int, verb string) hostfake.Fault {
			if verb == "SetVFLinkState" && !refused {
				refused = true
				return hostfake.Fault{Err: errInjected}
			}
			return hostfake.Fault{}
		})
		if _, err := n.add(p); !errors.Is(err, errInjected) {
			t.Fatalf("got %v", err)
		}
		n.noneKept()
		n.homeAgain("after the failed retry")
	})
}

func TestANetworkThatLostItsLinkStateTakesNothingOver(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.givenUp("c1", 0, 0x0200000000000100, "uid-1")
		p.id, p.ns = "c2", l.NewNetNS("c2")
		p.with("link_state", nil).with("fabricTimeout", nil).arg("ibfabric.io/pkeys", "")
		n.mustAdd(p)
		n.mustDel(p)
		n.homeAgain("after DEL")
	})
}

// An ADD that brings no GUID has none to free: what ails another VF is gc's to say.
func TestAnADDWithoutGUIDHearsNothingOfOtherVFs(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		n.givenUp("c1", 1, 0x0200000000000100, "uid-1")
		n.env.Now = func() time.Time { return time.Now().Add(4 * time.Minute) } // kept for too long
		n.faults.Plan(func(_ int, verb string) hostfake.Fault {
			if verb == "Unbind" {
				return hostfake.Fault{Err: errInjected}
			}
			return hostfake.Fault{}
		})
		plain := n.pod("c2", 0, n.before[l.vfs[0]].Port).with("ibKubernetesEnabled", nil).arg("guid", "")
		n.mustAdd(plain)
		n.inPod(plain)
		if err := plugin.Collect(context.Background(), n.env); !errors.Is(err, errInjected) {
			t.Errorf("gc says %v", err)
		}
	})
}

func TestWhatIsKeptEndsWhenTheClockWasSetBack(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		n.givenUp("c1", 0, 0x0200000000000100, "uid-1")
		n.env.Now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
		if err := plugin.Collect(context.Background(), n.env); err != nil {
			t.Fatal(err)
		}
		n.noneKept()
		n.homeAgain("after gc")
	})
}

func TestTheChainedPluginHasNothingToDoWhereTheOneBeforeItIsolates(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		ib := n.pod("c1", 0, 0x0200000000000100)
		ib.chain = []string{"ib-sriov", "rdma"}
		roce := n.roce("c2", 0, 1).chained().with("rdmaIsolation", true)
		for _, p := range []*pod{ib, roce} {
			began := time.Now()
			if i := n.mustAdd(p).Interfaces; len(i) != 1 || i[0].PciID != string(p.vf) {
				t.Errorf("%v: the answer is %+v", p.chain, i)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%v: it took %v", p.chain, took)
			}
			n.inPod(p)
			if err := n.check(p); err != nil {
				t.Errorf("%v: CHECK: %v", p.chain, err)
			}
			n.mustDel(p)
			n.mustDel(p)
		}
		n.untouched("after DEL")
	})
}

// Nothing of a virtual machine's VF comes home: only the path of its namespace says whether it
// lives, and a gc in a container may not have the folder of that path.
func TestGCDoesNotTakeAVirtualMachinesVFWhoseNamespaceItCannotSee(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) {
		l.SetDriver(l.vfs[0], host.VFIO)
		l.SetDriver(l.roce[0], "uio_pci_generic")
	}, func(t *testing.T, n *node, l *fakeLab) {
		for _, vm := range []*pod{n.pod("c1", 0, 0x0200000000000100), n.roce("c2", 0, 1)} {
			was := n.before[vm.vf]
			n.mustAdd(vm)
			blind := *n.env
			blind.Kernel = blindKernel{n.env.Kernel}
			given := n.state(vm.vf)
			if err := plugin.Collect(context.Background(), &blind); err == nil || !strings.Contains(err.Error(), string(vm.ns)) {
				t.Errorf("gc says %v", err)
			}
			if now := n.state(vm.vf); now != given {
				t.Errorf("it is taken from a pod that lives: %+v, want %+v", now, given)
			}
			l.EndNetNS(vm.ns) // where the folder is seen, the path is believed
			if err := plugin.Collect(context.Background(), n.env); err != nil {
				t.Fatal(err)
			}
			if now := n.state(vm.vf); now.Config != was.Config {
				t.Errorf("after gc it is %+v, want %+v", now, was)
			}
		}
	})
}

func TestGCLeavesTheTornRecordOfAVirtualMachineToItsDEL(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) { l.SetDriver(l.vfs[0], host.VFIO) }, func(t *testing.T, n *node, l *fakeLab) {
		vm := n.pod("c1", 0, 0x0200000000000100).with("link_state", nil)
		n.mustAdd(vm)
		n.tear(vm, "")
		if err := plugin.Collect(context.Background(), n.env); err == nil || n.state(vm.vf).Config.PortGUID != vm.guid {
			t.Errorf("gc says %v, and the VF is %+v", err, n.state(vm.vf))
		}
		n.mustDel(vm)
		if now := n.state(vm.vf); now.Config.PortGUID == vm.guid || len(n.recorded()) > 0 {
			t.Errorf("after DEL it is %+v, records of %v", now, n.recorded())
		}
	})
}

// The runtime's own notes say where the namespace of a VF for vfio was, if anybody does.
func TestGCPutsBackAVFIOVFOfIBSriovCNIWhenItsNamespaceIsKnownToBeGone(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) { l.SetDriver(l.vfs[0], host.VFIO) }, func(t *testing.T, n *node, l *fakeLab) {
		was := n.state(l.vfs[0])
		vm := n.pod("c1", 0, 0x0200000000000100).with("ipam", nil).with("vfioPciMode", true).with("link_state", nil)
		n.mustAdd(vm)
		n.forget()
		file := n.byIBSriov(vm)
		left := func(when string) {
			t.Helper()
			n.collectIncumbents()
			if now := n.state(vm.vf); now.Config.PortGUID != vm.guid {
				t.Errorf("%s the VF was taken: %+v", when, now)
			}
		}
		left("while nobody knows of a namespace")
		leave(t, filepath.Join(n.env.Incumbents.Results, "cbr0-c1-eth0"), map[string]any{"containerId": "c1", "netns": string(vm.ns)})
		left("while its namespace exists")
		seeing := n.env.Kernel
		n.env.Kernel = blindKernel{seeing}
		left("while the folder of its namespace is not seen")
		n.env.Kernel = seeing
		l.EndNetNS(vm.ns)
		n.collectIncumbents()
		if now := n.state(vm.vf); now != was {
			t.Errorf("after gc it is %+v, want %+v", now, was)
		}
		n.noFile(file)
	})
}

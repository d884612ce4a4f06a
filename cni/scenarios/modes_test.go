package scenarios

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/ibsriov"
	"github.com/ibfabric/ibfabric/cni/txn"
	"github.com/ibfabric/ibfabric/guid"
)

func quickly(t *testing.T, o hostfake.Options, stage func(*fakeLab), story func(*testing.T, *node, *fakeLab)) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFakeLab(o)
		n := newNode(t, lab)
		stage(lab)
		story(t, n, lab)
	})
}

func TestAVFIOVFGetsItsGUIDFromThePFAndNothingElse(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) { l.SetDriver(l.vfs[0], host.VFIO) }, func(t *testing.T, n *node, l *fakeLab) {
		was := n.state(l.vfs[0])
		p := n.pod("vm", 0, 0x0200000000000100)
		verbs := n.rehearse(func() {
			if i := n.mustAdd(p).Interfaces[0]; i.Name != "net1" || i.PciID != string(p.vf) {
				t.Errorf("interface %+v", i)
			}
		})
		for _, verb := range verbs {
			if changes(verb) && verb != "SetVFGUID" && verb != "SetVFLinkState" {
				t.Errorf("%s was called", verb)
			}
		}
		if now := n.state(p.vf); now.Config.PortGUID != p.guid || now.Config.NodeGUID != p.guid {
			t.Errorf("the PF holds %+v", now.Config)
		}
		n.mustDel(p)
		n.mustDel(p)
		if now := n.state(p.vf); now != was {
			t.Errorf("after DEL it is %+v, want %+v", now, was)
		}
	})
}

func TestAPFGoesToAVirtualMachineAsItIsAndOnlyThen(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.pod("vm", 0, 0x0200000000000100).with("deviceID", "0000:17:00.0")
		if _, err := n.add(p); err == nil || !strings.Contains(err.Error(), "deviceID: 0000:17:00.0 is a PF") {
			t.Errorf("bound to its driver: %v", err)
		}
		l.SetDriver("0000:17:00.0", host.VFIO)
		n.faults.Plan(nil)
		n.mustAdd(p.with("vfioPciMode", true))
		var inUse *txn.InUseError
		q := n.pod("vm2", 0, 0x0200000000000100).with("deviceID", "0000:17:00.0")
		if _, err := n.add(q); !errors.As(err, &inUse) {
			t.Errorf("a second time: %v", err)
		}
		n.mustDel(p)
		for _, verb := range n.faults.Verbs() {
			if changes(verb) {
				t.Errorf("%s was called", verb)
			}
		}
	})
}

func TestIsolationInSharedModeNamesTheCommandThatSetsIt(t *testing.T) {
	quickly(t, hostfake.Options{Mode: host.Shared}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.pod("c1", 0, 0x0200000000000100)
		if _, err := n.add(p); err == nil || !strings.Contains(err.Error(), "rdma system set netns exclusive") {
			t.Errorf("got %v", err)
		}
		n.untouched("after the refusal")
		n.mustAdd(p.with("rdmaIsolation", false))
		n.mustDel(p)
		n.untouched("after DEL")
		n.mustDel(p)
		n.untouched("after DEL without a record in shared mode")
	})
}

func TestAVFWithoutGUIDNeedsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := &fakeLab{fake: hostfake.New(hostfake.Options{})}
		_, lab.vfs = lab.AddPF(0x17, 1, 0)
		n := newNode(t, lab)
		p := n.pod("c1", 0, 0x0200000000000100).with("ibKubernetesEnabled", nil).arg("guid", "")
		if _, err := n.add(p); err == nil || !strings.Contains(err.Error(), "args.cni.guid") {
			t.Errorf("got %v", err)
		}
		n.untouched("after the refusal")
		n.mustAdd(p.arg("guid", p.guid.String()))
		n.inPod(p)
		n.mustDel(p)
		n.withoutGUID(p.vf)
	})
}

func TestAVFWithTwoGUIDsGetsOneAndHasBothBack(t *testing.T) {
	quickly(t, hostfake.Options{}, func(l *fakeLab) {
		d, _ := l.Device(context.Background(), l.vfs[0])
		_ = l.SetVFGUID(context.Background(), d.VF, 5, 6)
		l.SetDriver(d.PCI, hostfake.Driver)
	}, func(t *testing.T, n *node, l *fakeLab) {
		n.before = n.states()
		for _, g := range []guid.GUID{5, 6, 7} { // either can be right already
			p := n.pod("c1", 0, g)
			n.mustAdd(p)
			n.inPod(p)
			n.mustDel(p)
			n.untouched("after DEL")
		}
	})
}

func TestAVFThatLostItsDriverIsGivenItsPFs(t *testing.T) {
	for _, k := range kinds()[:2] {
		quickly(t, hostfake.Options{}, func(l *fakeLab) {
			l.SetDriver(l.vfs[0], "")
			l.SetDriver(l.roce[0], "")
		}, func(t *testing.T, n *node, l *fakeLab) {
			p := k.pod(n, "c1", 0x0200000000000100)
			n.mustAdd(p)
			n.inPod(p)
			n.mustDel(p)
			if s := n.state(p.vf); s.Driver != hostfake.Driver || !s.RDMA {
				t.Errorf("%s: after DEL: %+v", k.name, s)
			}
		})
	}
}

func TestADeviceThatLeftTheNodeDoesNotHoldUpDEL(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		l.Remove(p.vf)
		n.mustDel(p)
		if left, _ := n.env.Store.All(); len(left) > 0 || len(n.ipam.left()) > 0 {
			t.Errorf("left: %v, %v", left, n.ipam.left())
		}
	})
}

func TestARefusedBindIsTriedAgainAndThenUndone(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		binds := 0
		n.faults.Plan(func(_ int, verb string) hostfake.Fault {
			if verb == "Bind" {
				if binds++; binds <= 6 {
					return hostfake.Fault{Err: errInjected}
				}
			}
			return hostfake.Fault{}
		})
		if _, err := n.add(n.pod("c1", 0, 0x0200000000000100)); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		n.untouched("after the failed ADD")
	})
}

func TestADeviceStuckInADeadNamespaceIsBroughtHome(t *testing.T) {
	quickly(t, hostfake.Options{ReturnDelay: 24 * time.Hour}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		// It keeps its own GUID, so that nothing else needs a rebind.
		p := n.pod("c1", 0, n.before[l.vfs[0]].Port).with("ibKubernetesEnabled", nil).arg("guid", "")
		n.mustAdd(p)
		l.EndNetNS(p.ns)
		n.mustDel(p)
		n.untouched("after DEL")
	})
}

func TestAnADDThatTheRuntimeGaveUpIsUndone(t *testing.T) {
	slowly(t, func(t *testing.T, n *node) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		p := n.pod("c1", 0, 0x0200000000000100)
		if _, err := addWith(ctx, n, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		n.untouched("after the ADD that was given up")
	})
}

func addWith(ctx context.Context, n *node, p *pod) (any, error) {
	return ibsriov.Add(ctx, n.env, p.request(0, nil))
}

func TestNoRuleStaysInANamespaceThatOutlivesItsInterface(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		if rules := l.Rules(p.ns); len(rules) != 1 {
			t.Errorf("rules for %v, want one", rules)
		}
		n.mustDel(p)
		if rules := l.Rules(p.ns); len(rules) > 0 {
			t.Errorf("rules left for %v", rules)
		}
	})
}

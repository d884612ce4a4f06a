package scenarios

import (
	"context"
	"slices"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/guid"
)

// Stories of PFs that do not tell which GUIDs they hold for their VFs, as before Linux 5.5.

var silent = hostfake.Options{SilentPFs: true}

func TestOnSilentPFsTheOrdinaryLivesGoAsOnOthers(t *testing.T) {
	// Not those that ask the PF what it holds in the end.
	asks := []string{"DEL does with a torn record", "DEL does without the record"}
	for _, s := range lives() {
		if slices.Contains(asks, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			quickly(t, silent, func(*fakeLab) {}, func(t *testing.T, _ *node, l *fakeLab) { s.run(t, l, kinds()[0]) })
		})
	}
}

func TestADeadPodsGUIDStaysOnNoVFOfASilentPF(t *testing.T) {
	const g guid.GUID = 0x0200000000000100
	ends := map[string]func(n *node, p *pod){
		"DEL":                    func(n *node, p *pod) { n.mustAdd(p) },
		"DEL with a torn record": func(n *node, p *pod) { n.mustAdd(p); n.tear(p, "") },
		"DEL without the record": func(n *node, p *pod) { n.mustAdd(p); n.forget() },
		"an ADD killed on its way": func(n *node, p *pod) {
			n.faults.Plan(func(_ int, verb string) hostfake.Fault { return hostfake.Fault{Kill: verb == "Unbind"} })
			if dead, err := hostfake.Survive(func() error { _, err := n.add(p); return err }); !dead {
				n.t.Fatalf("ADD lived on: %v", err)
			}
			n.faults.Plan(nil)
		},
	}
	for name, end := range ends {
		for _, own := range []guid.GUID{0, 0x0011000000000100} {
			quickly(t, silent, func(l *fakeLab) { _, l.vfs = l.AddPF(0x86, 1, own) }, func(t *testing.T, n *node, l *fakeLab) {
				p := n.pod("c1", 0, g)
				end(n, p)
				for range 2 {
					n.mustDel(p)
				}
				l.SetDriver(p.vf, hostfake.Driver) // a rebind shows what the PF holds
				port, err := l.Port(context.Background(), host.Home, p.vf)
				if err != nil || port.GUID == g || port.NodeGUID == g {
					t.Errorf("%s of a VF with GUID %s: its port is %+v, %v", name, own, port, err)
				}
				if whole := name == "DEL" || name == "an ADD killed on its way"; own != 0 && whole && port.GUID != own {
					t.Errorf("%s: the VF lost its own GUID %s: %+v", name, own, port)
				}
				if left := n.recorded(); len(left) > 0 {
					t.Errorf("%s: records of %v", name, left)
				}
			})
		}
	}
}

func TestAVirtualMachinesGUIDStaysOnNoVFOfASilentPF(t *testing.T) {
	quickly(t, silent, func(l *fakeLab) { l.SetDriver(l.vfs[0], host.VFIO) }, func(t *testing.T, n *node, l *fakeLab) {
		vm := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(vm)
		n.mustDel(vm)
		l.SetDriver(vm.vf, hostfake.Driver)
		if port, err := l.Port(context.Background(), host.Home, vm.vf); err != nil || port.GUID == vm.guid || port.NodeGUID == vm.guid {
			t.Errorf("after DEL its port is %+v, %v", port, err)
		}
	})
}

func TestCHECKBelievesThePortWhereThePFIsSilent(t *testing.T) {
	quickly(t, silent, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		p := n.pod("c1", 0, 0x0200000000000100)
		n.mustAdd(p)
		if err := n.check(p); err != nil {
			t.Error(err)
		}
	})
}

package hostfake

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/cni/host"
)

// The tests here hold the fake to what was seen on real kernels: 6.12 for the oldest
// generation, 7.3 for the youngest.

func TestARebindTakesTheGUIDOverAndMakesDevicesAnew(t *testing.T) {
	ctx, k := t.Context(), New(Options{})
	_, vfs := k.AddPF(0x17, 2, 0)
	before, _ := k.Netdev(ctx, host.Home, vfs[0])
	rdma, _ := k.RDMADevice(ctx, host.Home, vfs[0])
	d, _ := k.Device(ctx, vfs[0])
	if err := k.SetVFGUID(ctx, d.VF, 5, 6); err != nil {
		t.Fatal(err)
	}
	if p, _ := k.Port(ctx, host.Home, vfs[0]); p.GUID != 0 {
		t.Errorf("port GUID %s before the rebind, want none", p.GUID)
	}
	if err := errors.Join(k.Unbind(ctx, vfs[0]), k.Bind(ctx, vfs[0], Driver)); err != nil {
		t.Fatal(err)
	}
	p, _ := k.Port(ctx, host.Home, vfs[0])
	after, _ := k.Netdev(ctx, host.Home, vfs[0])
	again, _ := k.RDMADevice(ctx, host.Home, vfs[0])
	if p.NodeGUID != 5 || p.GUID != 6 || after.Index == before.Index || again.Index == rdma.Index {
		t.Errorf("port %+v, netdev %+v (was %+v), RDMA %+v (was %+v)", p, after, before, again, rdma)
	}
}

func TestMovingTheRDMADeviceMakesItsNetdevAnewWhereTheGenerationPutsIt(t *testing.T) {
	for generation, where := range map[Generation]host.NetNS{HostNetdev: host.Home, PodNetdev: "/var/run/netns/pod", PodNames: "/var/run/netns/pod"} {
		t.Run(string(generation), func(t *testing.T) {
			ctx, k := t.Context(), New(Options{Generation: generation})
			_, vfs := k.AddPF(0x17, 1, 1)
			pod := k.NewNetNS("pod")
			before, _ := k.Netdev(ctx, host.Home, vfs[0])
			if err := k.MoveNetdev(ctx, host.Home, before.Index, pod, "net1"); err != nil {
				t.Fatal(err)
			}
			rdma, _ := k.RDMADevice(ctx, host.Home, vfs[0])
			if err := k.MoveRDMA(ctx, host.Home, rdma.Index, pod); err != nil {
				t.Fatal(err)
			}
			if _, err := k.RDMADevice(ctx, host.Home, vfs[0]); !errors.Is(err, host.ErrNotFound) {
				t.Errorf("RDMA device in the host: %v", err)
			}
			n, err := k.Netdev(ctx, where, vfs[0])
			if err != nil || n.Name == "net1" {
				t.Errorf("netdev %+v, %v; want a new one in %s", n, err, where)
			}
			if err := k.MoveRDMA(ctx, pod, rdma.Index, host.Home); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Netdev(ctx, host.Home, vfs[0]); err != nil {
				t.Errorf("back home: %v", err)
			}
		})
	}
}

func TestSharedModeShowsRDMADevicesEverywhereAndMovesNone(t *testing.T) {
	ctx, k := t.Context(), New(Options{Mode: host.Shared})
	_, vfs := k.AddPF(0x17, 1, 1)
	pod := k.NewNetNS("pod")
	rdma, err := k.RDMADevice(ctx, pod, vfs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := k.MoveRDMA(ctx, host.Home, rdma.Index, pod); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfANamespaceGivesDevicesBackLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, k := t.Context(), New(Options{ReturnDelay: 5 * time.Second})
		_, vfs := k.AddPF(0x17, 1, 1)
		pod := k.NewNetNS("pod")
		rdma, _ := k.RDMADevice(ctx, host.Home, vfs[0])
		if err := k.MoveRDMA(ctx, host.Home, rdma.Index, pod); err != nil {
			t.Fatal(err)
		}
		k.EndNetNS(pod)
		if _, err := k.RDMADevice(ctx, host.Home, vfs[0]); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(5 * time.Second)
		back, err := k.RDMADevice(ctx, host.Home, vfs[0])
		if diff := cmp.Diff(rdma, back); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if _, err := k.Netdev(ctx, host.Home, vfs[0]); err != nil {
			t.Errorf("netdev: %v", err)
		}
	})
}

func TestTheSubnetManagerTakesItsTimeFromTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, k := t.Context(), New(Options{SMDelay: 20 * time.Second})
		_, vfs := k.AddPF(0x17, 1, 7)
		port := func() host.Port {
			p, err := k.Port(ctx, host.Home, vfs[0])
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		time.Sleep(10 * time.Second)
		k.Program(7, 0x9000)
		if p := port(); p.State != host.PortInit || p.LID != 0 {
			t.Errorf("after 10 s: %+v", p)
		}
		time.Sleep(10 * time.Second)
		if p := port(); p.State != host.PortActive || p.PKeys[0] != 0x7fff {
			t.Errorf("after 20 s: %+v", p)
		}
		time.Sleep(10 * time.Second)
		if p := port(); p.PKeys[0] != 0x9000 {
			t.Errorf("after 30 s: %+v", p)
		}
		d, _ := k.Device(ctx, vfs[0])
		if err := k.SetVFLinkState(ctx, d.VF, host.Disable); err != nil {
			t.Fatal(err)
		}
		if p := port(); p.State != host.PortDown {
			t.Errorf("disabled: %+v", p)
		}
	})
}

func TestUdevRenamesWhatNobodyNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, k := t.Context(), New(Options{NetdevDelay: time.Second, UdevDelay: time.Second})
		_, vfs := k.AddPF(0x17, 1, 7)
		if _, err := k.Netdev(ctx, host.Home, vfs[0]); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("at once: %v", err)
		}
		var names []string
		for range 2 {
			time.Sleep(time.Second)
			n, err := k.Netdev(ctx, host.Home, vfs[0])
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, n.Name)
		}
		if diff := cmp.Diff([]string{"ib1", "ibp23s0f1"}, names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	})
}

func TestAFaultStrikesBeforeOrAfterTheWork(t *testing.T) {
	ctx, k := t.Context(), New(Options{})
	_, vfs := k.AddPF(0x17, 1, 7)
	s := NewFaults(k)
	for _, late := range []bool{false, true} {
		s.Plan(func(_ int, verb string) Fault { return Fault{Kill: verb == "Unbind", Late: late} })
		dead, err := Survive(func() error { return s.Unbind(ctx, vfs[0]) })
		d, _ := k.Device(ctx, vfs[0])
		if !dead || err != nil || (d.Driver == "") != late {
			t.Errorf("late %t: dead %t, %v, driver %q", late, dead, err, d.Driver)
		}
	}
	if diff := cmp.Diff([]string{"Unbind"}, s.Verbs()); diff != "" {
		t.Errorf("verbs (-want +got):\n%s", diff)
	}
}

func TestNamesOfRDMADevicesAreTheNodesOrANamespacesByGeneration(t *testing.T) {
	for _, generation := range Generations() {
		t.Run(string(generation), func(t *testing.T) {
			ctx, k := t.Context(), New(Options{Generation: generation})
			_, vfs := k.AddPF(0x17, 2, 1)
			pod := k.NewNetNS("pod")
			first, _ := k.RDMADevice(ctx, host.Home, vfs[0])
			if err := errors.Join(k.MoveRDMA(ctx, host.Home, first.Index, pod), k.Unbind(ctx, vfs[1]), k.Bind(ctx, vfs[1], Driver)); err != nil {
				t.Fatal(err)
			}
			second, _ := k.RDMADevice(ctx, host.Home, vfs[1])
			if generation != PodNames {
				if second.Name == first.Name {
					t.Errorf("both are %s", first.Name)
				}
				if err := k.RenameRDMA(ctx, host.Home, second.Index, first.Name); !errors.Is(err, syscall.EEXIST) {
					t.Errorf("a name that is in a pod: %v", err)
				}
				return
			}
			if second.Name != first.Name {
				t.Errorf("the second is %s, want %s, which is free at home", second.Name, first.Name)
			}
			if err := k.MoveRDMA(ctx, host.Home, second.Index, pod); !errors.Is(err, syscall.EEXIST) {
				t.Errorf("two of one name in a namespace: %v", err)
			}
			k.EndNetNS(pod)
			if now, err := k.RDMADevice(ctx, host.Home, vfs[0]); err != nil || now.Name != fmt.Sprint("ibdev", first.Index) {
				t.Errorf("after the namespace's end the first is %+v, %v", now, err)
			}
			if err := k.RenameRDMA(ctx, host.Home, second.Index, fmt.Sprint("ibdev", first.Index)); !errors.Is(err, syscall.EEXIST) {
				t.Errorf("a name that another has: %v", err)
			}
			if err := errors.Join(k.RenameRDMA(ctx, host.Home, second.Index, "mine"), k.MoveRDMA(ctx, host.Home, second.Index, k.NewNetNS("pod"))); err != nil {
				t.Errorf("under another name: %v", err)
			}
		})
	}
}

func TestAChildHasTheMembershipBitWhateverWasAsked(t *testing.T) {
	ctx, k := t.Context(), New(Options{})
	_, vfs := k.AddPF(0x17, 1, 1)
	n, _ := k.Netdev(ctx, host.Home, vfs[0])
	if err := k.AddChild(ctx, host.Home, n.Index, "ib1.0020", 0x0020); err != nil {
		t.Fatal(err)
	}
	if n, _ = k.Netdev(ctx, host.Home, vfs[0]); len(n.Children) != 1 || n.Children[0].Entry != 0x8020 {
		t.Errorf("children: %+v", n.Children)
	}
}

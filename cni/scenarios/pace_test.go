package scenarios

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
)

// What only a fake kernel has: any pace, and devices that no lab has.

func TestANetdevMayComeSecondsLate(t *testing.T) {
	for _, generation := range hostfake.Generations() {
		for _, late := range []time.Duration{0, time.Second, 5 * time.Second} {
			o := hostfake.Options{Generation: generation, NetdevDelay: late, UdevDelay: time.Second}
			quickly(t, o, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
				p := n.pod("c1", 0, 0x0200000000000100)
				n.mustAdd(p)
				n.inPod(p)
				n.mustDel(p)
				n.homeAgain("after DEL")
			})
		}
	}
}

// One rebind after the other is what the names of devices cost; nothing else may queue.
func TestManyADDsAtOnceTakeNoLongerThanTheirRebinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bind = 300 * time.Millisecond // and as long to let go
		lab := newFakeLab(hostfake.Options{SMDelay: 3 * time.Second, BindTime: bind})
		time.Sleep(time.Minute)
		began := time.Now()
		Parallel(t, lab) // an ADD and a DEL of each VF
		limit := time.Duration(len(lab.VFs()))*2*2*bind + 30*time.Second
		if took := time.Since(began); took > limit {
			t.Errorf("%d ADDs and DELs took %v, want less than %v", len(lab.VFs()), took, limit)
		}
	})
}

func TestTheChainedPluginTakesAScalableFunction(t *testing.T) {
	const sf = "mlx5_core.sf.4"
	quickly(t, hostfake.Options{}, func(l *fakeLab) { l.AddAuxiliary(sf) }, func(t *testing.T, n *node, l *fakeLab) {
		p := n.roce("c1", 0, 1).chained().with("deviceID", sf)
		rdma, env := n.plugin(p, 1)
		req := p.request(1, nil)
		req.Config = []byte(strings.Replace(string(req.Config), "{", `{"prevResult":{"cniVersion":"1.0.0"},`, 1))
		if _, err := rdma.Add(t.Context(), env, req); err != nil {
			t.Fatal(err)
		}
		if _, err := l.RDMADevice(t.Context(), p.ns, sf); err != nil {
			t.Errorf("in the pod: %v", err)
		}
		for range 2 {
			if err := rdma.Del(t.Context(), env, req); err != nil {
				t.Fatal(err)
			}
			if _, err := l.RDMADevice(t.Context(), host.Home, sf); err != nil {
				t.Errorf("after DEL: %v", err)
			}
		}
		n.untouched("after DEL")
	})
}

// noRDMA is a kernel whose driver has no RDMA part.
type noRDMA struct{ host.Kernel }

func (noRDMA) RDMADevice(context.Context, host.NetNS, host.PCI) (host.RDMADevice, error) {
	return host.RDMADevice{}, host.ErrNotFound
}

func TestADeviceWithoutRDMAIsRefusedWhereItIsAskedFor(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		bare := *n.env
		bare.Kernel, bare.Settle = noRDMA{n.env.Kernel}, time.Second
		n.env = &bare
		for _, p := range []*pod{n.pod("c1", 0, 0x0200000000000100), n.roce("c2", 0, 1), n.roce("c3", 1, 1).chained()} {
			if _, err := n.add(p); err == nil || !strings.Contains(err.Error(), "mlx5_ib") {
				t.Errorf("%s: %v", p.id, err)
			}
			n.env.Kernel = bare.Kernel.(noRDMA).Kernel
			n.mustDel(p)
			n.env.Kernel = noRDMA{n.env.Kernel}
		}
		n.untouched("after the refusals")
	})
}

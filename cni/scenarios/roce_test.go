package scenarios

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
)

func TestRoCEIsolationInSharedModeNamesTheCommandThatSetsIt(t *testing.T) {
	quickly(t, hostfake.Options{Mode: host.Shared}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		for _, p := range []*pod{n.roce("c1", 0, 1), n.roce("c2", 1, 1).chained()} {
			if _, err := n.add(p); err == nil || !strings.Contains(err.Error(), "rdma system set netns exclusive") {
				t.Errorf("got %v", err)
			}
			n.mustDel(p)
			n.untouched("after the refusal")
		}
		p := n.roce("c3", 0, 1).with("rdmaIsolation", false)
		n.mustAdd(p)
		n.mustDel(p)
		n.untouched("after DEL in shared mode")
	})
}

func TestASettingThatThePFRefusesTakesBackThoseBeforeIt(t *testing.T) {
	quickly(t, hostfake.Options{NoMinRate: true}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		if _, err := n.add(n.roce("c1", 0, 1).with("min_tx_rate", 5)); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("got %v", err)
		}
		n.untouched("after the refusal")
	})
}

func TestARoCEVFWithoutNodeGUIDGetsOneWithItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := &fakeLab{fake: hostfake.New(hostfake.Options{})}
		_, lab.roce = lab.AddEthernetPF(0x5e, 1, false)
		n := newNode(t, lab)
		p := n.roce("c1", 0, 1)
		n.mustAdd(p)
		n.inPod(p)
		if port, err := lab.Kernel().Port(t.Context(), p.ns, p.vf); err != nil || port.NodeGUID == 0 {
			t.Errorf("port %+v, %v", port, err)
		}
		n.mustDel(p)
		if now, was := n.state(p.vf), n.before[p.vf]; now.Config != was.Config || now.Addr != was.Addr || now.MTU != was.MTU {
			t.Errorf("after DEL %+v, want %+v", now, was)
		}
	})
}

func TestAVFForAUserSpaceDriverIsSetUpAtThePFOnly(t *testing.T) {
	for _, driver := range []string{host.VFIO, "uio_pci_generic"} {
		quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
			l.SetDriver(l.roce[0], driver)
			was := n.state(l.roce[0])
			p := n.roce("vm", 0, 1)
			for _, verb := range n.rehearse(func() { n.mustAdd(p) }) {
				if changes(verb) && verb != "SetVFEthernet" {
					t.Errorf("%s: %s was called", driver, verb)
				}
			}
			if e := n.ethernet(p.vf); e.VLAN != 100 {
				t.Errorf("the PF holds %+v", e)
			}
			n.mustDel(p)
			if now := n.state(p.vf); now != was {
				t.Errorf("after DEL %+v, want %+v", now, was)
			}
		})
	}
}

// A torn record does not say which plugin's it is; the port does.
func TestGCPutsBackATornRoCEVFOnce(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		p := n.dead(n.roce("c1", 0, 1).with("ipam", nil))
		n.tear(p, "")
		verbs := n.rehearse(func() {
			if err := plugin.Collect(context.Background(), n.env); err != nil {
				t.Error(err)
			}
		})
		if slices.Contains(verbs, "Unbind") || slices.Contains(verbs, "SetVFGUID") {
			t.Errorf("gc treats it as InfiniBand: %v", verbs)
		}
		if left, e := n.recorded(), n.ethernet(p.vf); len(left) > 0 || e.VLAN != 0 || e.Trust || !e.SpoofCheck {
			t.Errorf("records of %v, and the PF holds %+v", left, e)
		}
		n.mustAdd(n.roce("c2", 0, 2))
	})
}

func TestTheMACOfThePodComesBeforeTheNetworks(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		p := n.roce("c1", 0, 1)
		p.args = "IgnoreUnknown=1;MAC=02:dd:00:00:00:01"
		if got := n.mustAdd(p).Interfaces[0].Mac; got != "02:dd:00:00:00:01" {
			t.Errorf("CNI_ARGS: %s", got)
		}
		n.mustDel(p)
		p.with("runtimeConfig", map[string]any{"mac": "02:EE:00:00:00:01"})
		if got := n.mustAdd(p).Interfaces[0].Mac; got != "02:ee:00:00:00:01" {
			t.Errorf("capability: %s", got)
		}
	})
}

func TestTheChainedPluginRefusesWhatItWouldBreak(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		rdma, _ := cni.Named("rdma")
		for name, c := range map[string]struct {
			config, says string
			code         uint
		}{
			"an InfiniBand VF":  {`{"deviceID":"` + string(l.vfs[0]) + `","prevResult":{"cniVersion":"1.0.0"}}`, "rdmaIsolation in ib-sriov", types.ErrInvalidNetworkConfig},
			"no answer before":  {`{"deviceID":"` + string(l.roce[0]) + `"}`, "prevResult", types.ErrInvalidNetworkConfig},
			"no device":         {`{"prevResult":{"cniVersion":"1.0.0"}}`, "deviceID", types.ErrInvalidNetworkConfig},
			"unknown device":    {`{"deviceID":"0000:99:00.0","prevResult":{"cniVersion":"1.0.0"}}`, "deviceID", types.ErrInvalidNetworkConfig},
			"unknown auxiliary": {`{"deviceID":"mlx5_core.sf.4","prevResult":{"cniVersion":"1.0.0"}}`, "mlx5_core.sf.4", types.ErrInvalidNetworkConfig},
			"a path":            {`{"deviceID":"../../x","prevResult":{"cniVersion":"1.0.0"}}`, "deviceID", types.ErrInvalidNetworkConfig},
			"no JSON":           {`{`, "", types.ErrDecodingFailure},
		} {
			req := plugin.Request{ContainerID: "c1", IfName: "net1", NetNS: n.lab.NewNetNS("c1"), Config: []byte(`{"cniVersion":"1.0.0","name":"x",` + c.config[1:])}
			if _, err := rdma.Add(context.Background(), n.env, req); !isCode(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		n.untouched("after the refusals")
	})
}

func TestTheChainedPluginTakesTheDeviceOfTheAnswerBeforeIt(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		p := n.roce("c1", 0, 1).with("rdmaIsolation", nil)
		result := n.mustAdd(p)
		p.chain = []string{"sriov", "rdma"}
		req := p.request(1, result)
		req.Config = []byte(strings.Replace(string(req.Config), `"deviceID":"`+string(p.vf)+`",`, "", 1))
		rdma, env := n.plugin(p, 1)
		if _, err := rdma.Add(context.Background(), env, req); err != nil {
			t.Fatal(err)
		}
		n.inPod(p)
		n.mustDel(p)
		n.untouched("after DEL")
	})
}

func TestSTATUSSaysWhyTheNodeCannotServe(t *testing.T) {
	status := func(n *node, config string) error {
		p, _ := cni.Named("ib-sriov")
		return p.Status(context.Background(), n.env, plugin.Request{Config: []byte(config)})
	}
	const plain, isolated, addressed = `{"name":"gpu1"}`, `{"name":"gpu1","rdmaIsolation":true}`, `{"name":"gpu1","ipam":{"type":"fake"}}`
	refuse := func(n *node, verb string) {
		n.faults.Plan(func(_ int, v string) hostfake.Fault {
			if v == verb {
				return hostfake.Fault{Err: errInjected}
			}
			return hostfake.Fault{}
		})
	}
	quickly(t, hostfake.Options{Mode: host.Shared}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		if err := status(n, plain); err != nil {
			t.Errorf("shared mode, nobody asks for isolation: %v", err)
		}
		if err := status(n, isolated); !isCode(err, types.ErrPluginNotAvailable) || !strings.Contains(err.Error(), "exclusive") {
			t.Errorf("shared mode: %v", err)
		}
		refuse(n, "RDMAMode")
		if err := status(n, plain); !isCode(err, types.ErrPluginNotAvailable) {
			t.Errorf("no RDMA subsystem: %v", err)
		}
		refuse(n, "ipam STATUS")
		if err := status(n, addressed); !isCode(err, types.ErrPluginNotAvailable) || !errors.Is(err, errInjected) {
			t.Errorf("IPAM away: %v", err)
		}
		n.faults.Plan(nil)
		if err := os.WriteFile(n.env.Store.Dir()+"x", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		rotten := *n.env
		rotten.Store = record.NewStore(n.env.Store.Dir() + "x")
		n.env = &rotten
		if err := status(n, plain); !isCode(err, types.ErrPluginNotAvailable) {
			t.Errorf("nowhere to write: %v", err)
		}
	})
}

func TestAPortMayBeDownForAMomentInCHECK(t *testing.T) {
	for name, c := range map[string]struct {
		down time.Duration
		ok   bool
	}{"a moment": {3 * time.Second, true}, "longer": {10 * time.Second, false}} {
		quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
			p := n.pod("c1", 0, 0x0200000000000100)
			n.mustAdd(p)
			d, _ := l.Device(context.Background(), p.vf)
			_ = l.SetVFLinkState(context.Background(), d.VF, host.Disable)
			time.AfterFunc(c.down, func() { _ = l.SetVFLinkState(context.Background(), d.VF, host.Enable) })
			if err := n.check(p); (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "want ACTIVE") {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Minute)
			n.mustDel(p)
		})
	}
}

func TestCHECKOfAnIncumbentsPodSaysNothing(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, _ *fakeLab) {
		p := n.roce("c1", 0, 1)
		leave(t, n.env.Incumbents.Sriov+"/c1-net1", p.config)
		if err := n.check(p); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPodsAddressIsAnnouncedAndThatFailsNothing(t *testing.T) {
	quickly(t, hostfake.Options{}, func(*fakeLab) {}, func(t *testing.T, n *node, l *fakeLab) {
		result := n.mustAdd(n.roce("c1", 0, 1))
		if got := l.Announced(); len(got) != 1 || got[0] != result.IPs[0].Address.IP.String() {
			t.Errorf("announced %v", got)
		}
		mute := *n.env
		mute.Kernel = muteKernel{n.env.Kernel}
		n.env = &mute
		n.mustAdd(n.roce("c2", 1, 1))
	})
}

// muteKernel is one that may not send packets of its own.
type muteKernel struct{ host.Kernel }

func (muteKernel) Announce(context.Context, host.NetNS, string, *types100.Result) error {
	return syscall.EPERM
}

package sriov

import (
	"context"
	"fmt"
	"net"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// Type is the plugin's CNI type.
const Type = "sriov"

// Steps of this plugin beside those of package plugin.
const (
	stepTune     = "tune"
	stepAnnounce = "announce"
)

// job is one attachment on its way in, or out: then only env and rec are set.
type job struct {
	*plugin.Env
	rec  *record.Record
	pci  host.PCI
	conf Config

	device host.Device
	ips    *types100.Result
}

// pod is where the VF goes; "" once that has ended.
func (j *job) pod() host.NetNS { return host.NetNS(j.rec.NetNS) }

func newJob(env *plugin.Env, rec *record.Record) *job {
	return &job{Env: env, rec: rec, pci: host.PCI(rec.Device)}
}

// Undo lists the steps that undo a record.
func Undo(env *plugin.Env, rec *record.Record) []txn.Step { return newJob(env, rec).all() }

// all are the steps in their order. The netdev goes first and the RDMA device after it,
// whose GIDs come from the netdev; on the way back it is the reverse. The netdev's own
// settings are put back last of all, when the PF no longer holds the VF to an address.
func (j *job) all() []txn.Step {
	return []txn.Step{
		j.DeviceStep(j.rec),
		{Name: record.StepSettings, Undo: j.restoreNetdev},
		{Name: record.StepEthernet, Do: j.setEthernet, Undo: j.restoreEthernet},
		j.LinkStateStep(j.rec, j.device.VF, j.conf.LinkState),
		j.NetdevStep(j.rec),
		{Name: stepTune, Do: j.tune},
		j.RDMAStep(j.rec),
		j.AddressStep(j.rec, j.conf.BySource, func(r *types100.Result) { j.ips = r }),
		j.RouteStep(j.rec, func() *types100.Result { return j.ips }),
		{Name: stepAnnounce, Do: j.announce},
	}
}

func (j *job) wanted() []txn.Step {
	kernel := !j.device.UserSpace()
	want := map[string]bool{
		record.StepDevice:    true,
		record.StepSettings:  kernel,
		record.StepEthernet:  true,
		record.StepLinkState: j.conf.LinkState != "",
		record.StepNetdev:    kernel,
		stepTune:             kernel,
		record.StepRDMA:      kernel && j.conf.Isolate,
		record.StepIPAM:      kernel && j.conf.IPAM != "",
		plugin.StepRoutes:    kernel && j.conf.IPAM != "" && j.conf.BySource,
		stepAnnounce:         kernel && j.conf.IPAM != "",
	}
	var steps []txn.Step
	for _, s := range j.all() {
		if want[s.Name] {
			steps = append(steps, s)
		}
	}
	return steps
}

// Add gives a pod its VF.
func Add(ctx context.Context, env *plugin.Env, req plugin.Request) (*types100.Result, error) {
	conf, err := ParseConfig(req.Config, req.Args)
	if err != nil {
		return nil, err
	}
	namespace, err := env.NeedNetNS(ctx, req.NetNS)
	if err != nil {
		return nil, err
	}
	j := newJob(env, env.NewRecord(req, Type, conf.Network, string(conf.Device)))
	j.conf = conf
	j.rec.NetNSID = namespace
	release, err := env.Locks.Device(ctx, string(conf.Device))
	if err != nil {
		return nil, err
	}
	defer release()
	engine := j.Engine()
	// What others have left is undone before it is looked at how the VF is.
	if err := engine.Claim(ctx, j.rec); err != nil {
		return nil, err
	}
	if err := j.inspect(ctx); err != nil {
		return nil, err
	}
	if err := engine.Apply(ctx, j.rec, j.wanted()); err != nil {
		return nil, err
	}
	j.Log.Info("attached", zap.String("device", j.rec.Device), zap.Duration("took", j.Now().Sub(j.rec.Created)))
	return j.answer(ctx)
}

// Del takes the VF back.
func Del(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return plugin.Del(ctx, env, req, env.Incumbents.FromSriov)
}

// Check looks whether the VF is still as the network asks.
func Check(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	conf, err := ParseConfig(req.Config, req.Args)
	if err != nil {
		return err
	}
	return plugin.Check(ctx, env, req, env.Incumbents.FromSriov, func(ctx context.Context, rec *record.Record) error {
		d, err := env.Kernel.Device(ctx, host.PCI(rec.Device))
		if err != nil {
			return err
		}
		config, err := env.Kernel.VFConfig(ctx, d.VF)
		// Applied to what is held: where the network says nothing, anything is right.
		if want := conf.apply(config.Ethernet); err == nil && want != config.Ethernet {
			err = fmt.Errorf("the PF holds %+v for %s, want %+v", config.Ethernet, rec.Device, want)
		}
		return err
	})
}

// inspect looks at the device, writes down how it is, and refuses what cannot work.
func (j *job) inspect(ctx context.Context) (err error) {
	if j.device, err = j.FindDevice(ctx, j.pci); err != nil {
		return err
	}
	if !j.device.IsVF() {
		return plugin.Invalid("deviceID", "%s is a PF; give the device plugin VFs of it", j.pci)
	}
	config, err := j.InspectVF(ctx, j.rec, j.device)
	if err != nil {
		return err
	}
	j.rec.Original.Ethernet = remember(config.Ethernet)
	// Without isolation nobody may wait for an RDMA device: the VF need not have one.
	j.rec.Original.NetdevOnly = !j.conf.Isolate
	if j.device.UserSpace() {
		return nil
	}
	return j.inspectDevices(ctx)
}

func (j *job) inspectDevices(ctx context.Context) error {
	if j.conf.Isolate {
		if err := j.NeedExclusive(ctx); err != nil {
			return err
		}
	}
	if err := j.Adopt(ctx, j.rec, &j.device); err != nil {
		return err
	}
	if j.conf.Isolate {
		if err := j.InspectRDMA(ctx, j.rec); err != nil {
			return err
		}
	}
	n, err := j.InspectNetdev(ctx, j.rec)
	if err != nil {
		return err
	}
	if len(n.Addr) != 6 {
		return plugin.Invalid("deviceID", "%s has an InfiniBand port; use the plugin ib-sriov", j.pci)
	}
	// What the netdev has, not what the PF holds: a VF may choose an address by itself.
	j.rec.Original.Ethernet.MTU, j.rec.Original.Ethernet.EffectiveMAC = n.MTU, net.HardwareAddr(n.Addr).String()
	return nil
}

// answer tells the address of a VF for user space, too: its driver gets it from the PF.
func (j *job) answer(ctx context.Context) (*types100.Result, error) {
	result, err := j.Answer(ctx, j.rec, j.ips, j.device.UserSpace())
	if err == nil && j.device.UserSpace() && j.conf.MAC != nil {
		result.Interfaces[0].Mac = j.conf.MAC.String()
	}
	return result, err
}

package ibsriov

import (
	"context"
	"fmt"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// Type is the plugin's CNI type.
const Type = "ib-sriov"

// Steps of this plugin beside those of package plugin.
const (
	stepKept     = "kept"
	stepFabric   = "fabric"
	stepChildren = "children"
)

const maxIfName = 15

// job is one attachment on its way in, or out: then only env and rec are set.
type job struct {
	*plugin.Env
	rec  *record.Record
	pci  host.PCI
	conf Config

	device host.Device
	port   host.Port // before the first change; empty for vfio
	ips    *types100.Result
	kept   *record.Record // of an earlier try, nil for none
}

// Undo lists the steps that undo a record.
func Undo(env *plugin.Env, rec *record.Record) []txn.Step {
	return newJob(env, rec).all()
}

// pod is where the VF goes; "" once that has ended.
func (j *job) pod() host.NetNS { return host.NetNS(j.rec.NetNS) }

func newJob(env *plugin.Env, rec *record.Record) *job {
	return &job{Env: env, rec: rec, pci: host.PCI(rec.Device)}
}

// all are the steps in their order. An RDMA device goes first and its netdev after it:
// the move makes the netdev anew.
func (j *job) all() []txn.Step {
	return []txn.Step{
		j.DeviceStep(j.rec),
		{Name: stepKept, Do: j.dropKept},
		j.linkStateStep(),
		j.guidStep(),
		{Name: stepFabric, Do: j.proveFabric},
		j.RDMAStep(j.rec),
		j.NetdevStep(j.rec),
		{Name: stepChildren, Do: j.addChildren, Undo: j.deleteChildren},
		j.AddressStep(j.rec, j.conf.BySource, func(r *types100.Result) { j.ips = r }),
		j.RouteStep(j.rec, func() *types100.Result { return j.ips }),
	}
}

// wanted are those that the configuration asks for.
func (j *job) wanted() []txn.Step {
	kernel := !j.vfio() // a VF that the pod drives itself has neither netdev nor RDMA device
	want := map[string]bool{
		record.StepDevice:    true,
		stepKept:             j.kept != nil,
		record.StepLinkState: j.conf.LinkState != "",
		record.StepGUID:      j.conf.GUID != 0,
		stepFabric:           j.conf.GUID != 0 || len(j.conf.Claims) > 0,
		record.StepRDMA:      kernel && j.conf.Isolate,
		record.StepNetdev:    kernel,
		stepChildren:         kernel && j.conf.Children && len(j.conf.Claims) > 1,
		record.StepIPAM:      kernel && j.conf.IPAM != "",
		plugin.StepRoutes:    kernel && j.conf.IPAM != "" && j.conf.BySource,
	}
	var steps []txn.Step
	for _, s := range j.all() {
		if want[s.Name] {
			steps = append(steps, s)
		}
	}
	return steps
}

// keptStep reports whether a step that an earlier try has kept is one of this try.
func (j *job) keptStep(name string) bool {
	return name != record.StepLinkState || j.conf.LinkState != ""
}

func (j *job) vfio() bool { return j.device.Driver == host.VFIO }

// Add gives a pod its VF.
func Add(ctx context.Context, env *plugin.Env, req plugin.Request) (*types100.Result, error) {
	conf, err := ParseConfig(req.Config)
	if err != nil {
		return nil, err
	}
	namespace, err := env.NeedNetNS(ctx, req.NetNS)
	if err != nil {
		return nil, err
	}
	if conf.Children && len(req.IfName) > maxIfName-len(".9000") {
		return nil, plugin.Invalid("ipoibChildren", "%q leaves no room for a PKey behind it; give the interface a name of at most %d characters", req.IfName, maxIfName-len(".9000"))
	}
	j := newJob(env, env.NewRecord(req, Type, conf.Network, string(conf.Device)))
	j.conf = conf
	j.rec.NetNSID = namespace
	j.rec.GUID = record.GUID(conf.GUID)
	// Before the device is locked: it may have to lock the one that has the GUID, and two
	// calls that hold one and want the other would wait for ever.
	if err := env.FreeGUID(ctx, j.rec); err != nil {
		return nil, err
	}
	release, err := env.Locks.Device(ctx, string(conf.Device))
	if err != nil {
		return nil, err
	}
	defer release()
	return j.add(ctx)
}

func (j *job) add(ctx context.Context) (*types100.Result, error) {
	engine := j.Engine()
	// In this order: what others have left is undone before it is looked at how the VF is.
	// Else a dead pod's GUID would be saved as the VF's own, and given back for ever.
	if err := engine.Claim(ctx, j.rec); err != nil {
		return nil, err
	}
	kept, err := j.TakeKept(ctx, j.rec, j.keptStep)
	if err != nil {
		return nil, err
	}
	if err := j.inspect(ctx); err != nil {
		return nil, err
	}
	if j.kept = kept; kept != nil {
		j.rec.Original = kept.Original // what the device has now is the pod's
	}
	steps := j.wanted()
	if !j.device.IsVF() {
		steps, j.rec.GUID = steps[:1], 0 // a PF goes to the pod as it is
	}
	if err := engine.Apply(ctx, j.rec, steps); err != nil {
		return nil, err
	}
	j.Log.Info("attached", zap.String("device", j.rec.Device), zap.Stringer("guid", j.given()),
		zap.Any("pkeys", j.rec.PKeys), zap.Duration("took", j.Now().Sub(j.rec.Created)))
	return j.Answer(ctx, j.rec, j.ips, j.vfio())
}

// Del takes the VF back.
func Del(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return plugin.Del(ctx, env, req, env.Incumbents.FromIBSriov)
}

// inspect looks at the device, writes down how it is, and refuses what cannot work. It
// changes nothing.
func (j *job) inspect(ctx context.Context) (err error) {
	if j.device, err = j.FindDevice(ctx, j.pci); err != nil {
		return err
	}
	switch {
	// The driver that it has counts, not the field: device plugins bind VFs for vfio, and
	// many networks do not say so. The field only insists.
	case j.conf.VFIO && !j.vfio():
		return plugin.Invalid("vfioPciMode", "is set, but %s is bound to %q; bind it to vfio-pci first", j.pci, j.device.Driver)
	case !j.device.IsVF() && !j.vfio():
		return plugin.Invalid("deviceID", "%s is a PF; give the device plugin VFs of it, or bind it to vfio-pci to pass it through whole", j.pci)
	}
	j.rec.Original.Driver = j.device.Driver
	if !j.device.IsVF() {
		return nil
	}
	config, err := j.InspectVF(ctx, j.rec, j.device)
	if err != nil {
		return err
	}
	// Both, as the PF has them: they can differ, and a netdev shows one of them only.
	j.rec.Original.NodeGUID, j.rec.Original.PortGUID = record.GUID(config.NodeGUID), record.GUID(config.PortGUID)
	if j.vfio() {
		j.Log.Info("the VF is for vfio: its GUID is set at the PF, and neither GUID nor PKey can be proved from here")
		return nil
	}
	return j.inspectDevices(ctx)
}

// inspectDevices looks at what the VF's driver has made of it.
func (j *job) inspectDevices(ctx context.Context) error {
	if j.conf.Isolate {
		if err := j.NeedExclusive(ctx); err != nil {
			return err
		}
	}
	if err := j.Adopt(ctx, j.rec, &j.device); err != nil {
		return err
	}
	if err := j.InspectRDMA(ctx, j.rec); err != nil {
		return err
	}
	var err error
	if j.port, err = j.Kernel.Port(ctx, host.Home, j.pci); err != nil {
		return err
	}
	if j.port.Ethernet {
		return plugin.Invalid("deviceID", "%s has an Ethernet port; use the plugin sriov for RoCE", j.pci)
	}
	if was := &j.rec.Original; was.NodeGUID == 0 && was.PortGUID == 0 {
		// What the VF's driver has is all there is to know where the PF tells nothing.
		was.NodeGUID, was.PortGUID = record.GUID(j.port.NodeGUID), record.GUID(j.port.GUID)
	}
	// Zeros are what firmware begins with, ones what ib-sriov-cni leaves: no subnet manager
	// brings up a port with either.
	if j.conf.GUID == 0 && !j.port.GUID.IsValid() {
		return plugin.Invalid("args.cni.guid", "no GUID is given, and VF %s has none of its own (%s)", j.pci, j.port.GUID)
	}
	if _, err = j.InspectNetdev(ctx, j.rec); err != nil {
		return fmt.Errorf("%w; is ib_ipoib loaded?", err)
	}
	return nil
}

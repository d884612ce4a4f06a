package ibsriov

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
	"github.com/ibfabric/ibfabric/guid"
)

// given is the GUID that the pod gets: the one asked for, else the VF's own.
func (j *job) given() guid.GUID {
	if j.conf.GUID != 0 {
		return j.conf.GUID
	}
	return j.port.GUID
}

// linkStateStep is kept with the GUID: a port that is down has nothing to show.
func (j *job) linkStateStep() txn.Step {
	step := j.LinkStateStep(j.rec, j.device.VF, j.conf.LinkState)
	step.Keep = j.keeps()
	return step
}

// keeps reports whether the VF may keep its GUID for another try. One for vfio may not:
// nothing is waited for there, and no namespace would keep the next pod from using it.
func (j *job) keeps() bool { return j.rec.Original.Driver != host.VFIO }

// guidStep gives the VF its GUID. The PF holds it, and the VF's driver takes it over when
// it binds: nothing is rebound that has the GUID already.
func (j *job) guidStep() txn.Step {
	return txn.Step{
		Name: record.StepGUID, Keep: j.keeps(),
		Do: func(ctx context.Context) error {
			// Once more, with the record on the disk: of two calls at once each sees the other.
			if err := j.RefuseGUID(j.rec); err != nil {
				return err
			}
			g := j.conf.GUID
			if err := j.setGUIDs(ctx, j.device, g, g); err != nil || j.vfio() {
				return err
			}
			return j.takeOver(ctx, j.device, g, g)
		},
		Undo: j.restoreGUID,
	}
}

// dropKept forgets what the device has kept: from here on the attachment's own record has
// to say how the device was.
func (j *job) dropKept(context.Context) error { return j.Kept.Remove(j.kept) }

// setGUIDs has the PF hold the GUIDs for the VF.
func (j *job) setGUIDs(ctx context.Context, d host.Device, node, port guid.GUID) error {
	config, err := j.Kernel.VFConfig(ctx, d.VF)
	if err != nil || config.NodeGUID == node && config.PortGUID == port {
		return err // the PF may hold it while the VF's driver has another: see takeOver
	}
	if err := j.Kernel.SetVFGUID(ctx, d.VF, node, port); err != nil {
		return err
	}
	j.Log.Info("GUID set", zap.String("device", j.rec.Device), zap.Stringer("guid", port))
	return nil
}

// takeOver rebinds the VF if its device has other GUIDs, and waits for the new one.
func (j *job) takeOver(ctx context.Context, d host.Device, node, port guid.GUID) error {
	p, err := j.Kernel.Port(ctx, host.Home, j.pci)
	if err == nil && p.NodeGUID == node && p.GUID == port {
		return nil
	}
	if err != nil && !errors.Is(err, host.ErrNotFound) {
		return err
	}
	driver, err := j.DriverOf(ctx, d, j.rec)
	if err != nil {
		return err
	}
	if err := j.Rebind(ctx, j.pci, driver); err != nil {
		return err
	}
	p, err = plugin.Await(ctx, j.Settle, func() (host.Port, error) { return j.Kernel.Port(ctx, host.Home, j.pci) })
	switch {
	case err != nil:
		return fmt.Errorf("waiting for the RDMA device after the rebind: %w", err)
	case p.NodeGUID != node || p.GUID != port:
		return fmt.Errorf("after the rebind %s has node GUID %s and port GUID %s, want %s and %s; the driver took over others than the PF holds", j.pci, p.NodeGUID, p.GUID, node, port)
	}
	return nil
}

// restoreGUID makes the VF's GUIDs what they were. Where there were none it gives it
// ones, as ib-sriov-cni does: firmware does not take zeros back, and a pod's GUID must
// not stay.
func (j *job) restoreGUID(ctx context.Context) error {
	d, err := j.Kernel.Device(ctx, j.pci)
	if err != nil || !d.IsVF() {
		return plugin.UnlessGone(err)
	}
	// It may be on its way home from a namespace that ended; if it does not come, takeOver's
	// rebind brings it.
	if d.Driver != "" && !d.UserSpace() {
		_, _ = j.AwaitRDMA(ctx, j.pci)
	}
	// A torn record does not say which plugin wrote it. A RoCE port has no GUID to give back,
	// and a rebind would do nothing for it.
	if p, err := j.Kernel.Port(ctx, host.Home, j.pci); err == nil && p.Ethernet {
		return nil
	}
	was := host.VFConfig{NodeGUID: guid.GUID(j.rec.Original.NodeGUID), PortGUID: guid.GUID(j.rec.Original.PortGUID)}
	config, err := j.Kernel.VFConfig(ctx, d.VF)
	if err != nil {
		return err
	}
	changed := config.NodeGUID != was.NodeGUID || config.PortGUID != was.PortGUID
	node, port := was.NodeGUID, was.PortGUID
	// Of a PF that tells nothing it is not known what it holds, so that is set in any case.
	if changed || tellsNothing(config) {
		node, port = orOnes(node), orOnes(port)
	}
	if err := j.setGUIDs(ctx, d, node, port); err != nil {
		return err
	}
	driver, err := j.DriverOf(ctx, d, j.rec)
	if err != nil || driver == host.VFIO {
		return err
	}
	return j.takeOver(ctx, d, node, port)
}

// tellsNothing reports whether a PF says zeros: it holds none, or it does not tell what it holds
// (kernels before 5.5, and some drivers). Which of both it is cannot be seen.
func tellsNothing(c host.VFConfig) bool { return c.NodeGUID == 0 && c.PortGUID == 0 }

func orOnes(g guid.GUID) guid.GUID {
	if g == 0 {
		return math.MaxUint64
	}
	return g
}

// addChildren makes an IPoIB netdev for each PKey after the first.
func (j *job) addChildren(ctx context.Context) error {
	n, err := j.Kernel.Netdev(ctx, j.pod(), j.pci)
	if err != nil {
		return err
	}
	for _, c := range j.conf.Claims[1:] {
		name := fmt.Sprintf("%s.%04x", j.rec.IfName, c.Entry())
		if err := j.Kernel.AddChild(ctx, j.pod(), n.Index, name, c.Entry()); err != nil {
			return err
		}
		j.Log.Info("IPoIB netdev added", zap.String("name", name), zap.Stringer("pkey", c.PKey))
	}
	// Read again for their indices, which no answer of netlink tells who adds a link.
	if n, err = j.Kernel.Netdev(ctx, j.pod(), j.pci); err != nil {
		return err
	}
	for _, c := range n.Children {
		if err := j.Kernel.SetNetdevUp(ctx, j.pod(), c.Index, true); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) deleteChildren(ctx context.Context) error {
	n, err := j.Kernel.Netdev(ctx, j.pod(), j.pci)
	if err != nil {
		return plugin.UnlessGone(err) // they ended with their parent
	}
	for _, c := range n.Children {
		if err := j.Kernel.DeleteNetdev(ctx, j.pod(), c.Index); err != nil {
			return err
		}
	}
	return nil
}

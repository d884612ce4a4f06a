package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// DeviceStep comes first, so that its Undo comes last: the device is bound to its
// driver, at home, and its netdev and RDMA device have the names they had.
func (e *Env) DeviceStep(rec *record.Record) txn.Step {
	return txn.Step{Name: record.StepDevice, Undo: func(ctx context.Context) error { return e.bringHome(ctx, rec) }}
}

func (e *Env) bringHome(ctx context.Context, rec *record.Record) error {
	pci := host.PCI(rec.Device)
	d, err := e.Kernel.Device(ctx, pci)
	if errors.Is(err, host.ErrNotFound) {
		return nil // taken out of the node: there is nothing to put right
	}
	if err != nil {
		return err
	}
	driver, err := e.DriverOf(ctx, d, rec)
	if err != nil || driver == "" || (host.Device{Driver: driver}).UserSpace() {
		return errors.Join(err, e.bind(ctx, d, driver))
	}
	if err := e.bind(ctx, d, driver); err != nil {
		return err
	}
	if err := e.awaitHome(ctx, rec); err != nil {
		// It is in a namespace that is gone or cannot be entered. A driver makes its
		// devices at home, wherever they were.
		e.Log.Warn("the device did not come back by itself; rebinding it", zap.String("device", rec.Device), zap.Error(err))
		if err := e.Rebind(ctx, pci, driver); err != nil {
			return err
		}
	}
	return errors.Join(UnlessGone(e.restoreRDMA(ctx, rec)), e.restoreNetdev(ctx, rec))
}

func (e *Env) awaitHome(ctx context.Context, rec *record.Record) error {
	if !rec.Original.NetdevOnly {
		_, err := e.AwaitRDMA(ctx, host.PCI(rec.Device))
		return err
	}
	_, err := e.AwaitNetdev(ctx, host.PCI(rec.Device))
	return err
}

// DriverOf is the driver that a device belongs to: the one it has, else the one it had,
// else its PF's. PFs that have none keep none.
func (e *Env) DriverOf(ctx context.Context, d host.Device, rec *record.Record) (string, error) {
	switch {
	case d.Driver != "":
		return d.Driver, nil
	case rec.Original.Driver != "":
		return rec.Original.Driver, nil
	case !d.IsVF():
		return "", nil
	}
	pf, err := e.Kernel.Device(ctx, d.VF.PF)
	return pf.Driver, err
}

func (e *Env) bind(ctx context.Context, d host.Device, driver string) error {
	if d.Driver != "" || driver == "" {
		return nil
	}
	return e.Rebind(ctx, d.PCI, driver)
}

// Rebind takes the device from its driver and gives it back, which makes it take over
// the GUIDs that its PF holds. Netdev and RDMA device are others afterwards.
func (e *Env) Rebind(ctx context.Context, pci host.PCI, driver string) error {
	release, err := e.Locks.Rebind(ctx)
	if err != nil {
		return err
	}
	defer release()
	start := e.Now()
	if err := e.Kernel.Unbind(ctx, pci); err != nil {
		return err
	}
	// Firmware can need a moment after the unbind; a VF without driver is lost to all.
	for try := 0; ; try++ {
		if err = e.Kernel.Bind(ctx, pci, driver); err == nil {
			break
		}
		if try == 5 || Sleep(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
	e.Log.Info("rebound", zap.String("device", string(pci)), zap.String("driver", driver), zap.Duration("took", e.Now().Sub(start)))
	return nil
}

// AwaitRDMA waits for the device's RDMA device in the host's namespace.
func (e *Env) AwaitRDMA(ctx context.Context, pci host.PCI) (host.RDMADevice, error) {
	return Await(ctx, e.Settle, func() (host.RDMADevice, error) { return e.Kernel.RDMADevice(ctx, host.Home, pci) })
}

// AwaitNetdev waits for the device's netdev in the host's namespace.
func (e *Env) AwaitNetdev(ctx context.Context, pci host.PCI) (host.Netdev, error) {
	return Await(ctx, e.Settle, func() (host.Netdev, error) { return e.Kernel.Netdev(ctx, host.Home, pci) })
}

// restoreNetdev gives the netdev its former name and raises it if it was up: whoever set
// the node up, as a bond or a monitor of the port, does not do so again.
func (e *Env) restoreNetdev(ctx context.Context, rec *record.Record) error {
	if rec.Original.Name == "" {
		return nil
	}
	n, err := e.AwaitNetdev(ctx, host.PCI(rec.Device))
	if err != nil {
		return fmt.Errorf("waiting for the netdev to come back: %w", err)
	}
	if n.Name != rec.Original.Name {
		if err := e.Kernel.SetNetdevUp(ctx, host.Home, n.Index, false); err != nil {
			return err
		}
		n.Up = false
		// That another netdev has the name by now is no reason to fail: names at home are
		// udev's affair.
		if err := e.Kernel.RenameNetdev(ctx, host.Home, n.Index, rec.Original.Name); err != nil {
			e.Log.Warn("the netdev keeps another name", zap.String("name", n.Name), zap.Error(err))
		}
	}
	if n.Up || !rec.Original.Up {
		return nil
	}
	return e.Kernel.SetNetdevUp(ctx, host.Home, n.Index, true)
}

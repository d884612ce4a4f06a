package plugin

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// FindDevice is the device that a configuration names.
func (e *Env) FindDevice(ctx context.Context, pci host.PCI) (host.Device, error) {
	d, err := e.Kernel.Device(ctx, pci)
	if errors.Is(err, host.ErrNotFound) {
		return d, Invalid("deviceID", "this node has no device %s", pci)
	}
	return d, err
}

// InspectVF writes down how a VF is before the first change, and gives what its PF holds.
func (e *Env) InspectVF(ctx context.Context, rec *record.Record, d host.Device) (host.VFConfig, error) {
	driver, err := e.DriverOf(ctx, d, rec)
	if err != nil {
		return host.VFConfig{}, err
	}
	config, err := e.Kernel.VFConfig(ctx, d.VF)
	if err != nil {
		return config, err
	}
	rec.Original.Driver, rec.Original.LinkState = driver, config.LinkState.String()
	return config, nil
}

// Adopt gives a VF its driver that somebody's death left between unbind and bind: nobody
// else would, and it is of no use without.
func (e *Env) Adopt(ctx context.Context, rec *record.Record, d *host.Device) error {
	if d.Driver != "" {
		return nil
	}
	e.Log.Warn("the device has no driver; binding it", zap.String("device", rec.Device), zap.String("driver", rec.Original.Driver))
	if err := e.Rebind(ctx, d.PCI, rec.Original.Driver); err != nil {
		return err
	}
	d.Driver = rec.Original.Driver
	return nil
}

// InspectRDMA waits for the device's RDMA device at home and writes down its name, or says why
// it may not be there.
func (e *Env) InspectRDMA(ctx context.Context, rec *record.Record) error {
	d, err := e.AwaitRDMA(ctx, host.PCI(rec.Device))
	if err != nil {
		return fmt.Errorf("%w; is it in another pod, or is mlx5_ib not loaded?", err)
	}
	rec.Original.RDMA = d.Name
	return nil
}

// InspectNetdev waits for the device's netdev and writes down how it is.
func (e *Env) InspectNetdev(ctx context.Context, rec *record.Record) (host.Netdev, error) {
	n, err := e.AwaitNetdev(ctx, host.PCI(rec.Device))
	rec.Original.Name, rec.Original.Up = n.Name, n.Up
	return n, err
}

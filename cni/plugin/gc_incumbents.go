package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// CollectIncumbents brings home what ib-sriov-cni and sriov-cni gave to pods that are gone,
// as DEL would, and forgets their cache files. ib-sriov-cni wrote no namespace down, so
// a VF counts as given back only when the host has all of it; one for vfio never does.
func CollectIncumbents(ctx context.Context, e *Env) error {
	var errs []error
	for _, from := range []struct {
		dir  string
		read func(record.Key) (*record.Record, error)
	}{{e.Incumbents.IBSriov, e.Incumbents.FromIBSriov}, {e.Incumbents.Sriov, e.Incumbents.FromSriov}} {
		keys, err := record.CacheKeys(from.dir)
		errs = append(errs, err)
		for _, k := range keys {
			errs = append(errs, e.collectIncumbent(ctx, k, from.read))
		}
	}
	return errors.Join(errs...)
}

func (e *Env) collectIncumbent(ctx context.Context, k record.Key, read func(record.Key) (*record.Record, error)) error {
	rec, err := read(k)
	if rec == nil || err != nil || !isDevice(rec.Device) {
		return err
	}
	release, err := e.Locks.Device(ctx, rec.Device)
	if err != nil {
		return err
	}
	defer release()
	if rec, err = read(k); rec == nil || err != nil { // a DEL may have come before
		return err
	}
	if rec.Plugin == "sriov" {
		rec.NetNS = e.Incumbents.SriovHolder(rec.Device)
	}
	if gone, err := e.incumbentGone(ctx, rec); !gone || err != nil {
		return err
	}
	if err := e.salvage(rec); err != nil {
		return err
	}
	rec.CNIPath = cmp.Or(rec.CNIPath, "/opt/cni/bin") // their files do not say; it is the runtimes' default
	if err := e.Engine().Revert(ctx, rec); err != nil {
		return fmt.Errorf("putting back device %s of container %s, which another plugin attached: %w", rec.Device, rec.ContainerID, err)
	}
	e.Log.Info("put back what nobody owns", zap.Stringer("attachment", k), zap.String("device", rec.Device))
	return nil
}

func (e *Env) incumbentGone(ctx context.Context, rec *record.Record) (bool, error) {
	if rec.NetNS != "" {
		if there, err := e.Kernel.HasNetNS(ctx, host.NetNS(rec.NetNS)); there || err != nil {
			return false, err
		}
	}
	if !slices.Contains(rec.Steps, record.StepNetdev) {
		return rec.NetNS != "", nil
	}
	err := e.isHome(ctx, rec)
	if errors.Is(err, host.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

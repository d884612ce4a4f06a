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

// CollectIncumbents brings home what ib-sriov-cni, sriov-cni and rdma-cni gave to pods that
// are gone, as DEL would, and forgets their files. Most of those name no namespace: if the
// runtime did not write it down either, a VF counts as given back only when the host has all
// of it, which cannot be said of one for vfio.
func CollectIncumbents(ctx context.Context, e *Env) error {
	var errs []error
	// From the end of a chain, as a runtime would: the RDMA device before its netdev.
	networks, err := e.Incumbents.RDMAKeys()
	errs = append(errs, err)
	for k, network := range networks {
		errs = append(errs, e.collectIncumbent(ctx, k, func(k record.Key) (*record.Record, error) {
			return e.Incumbents.FromRDMA(network, k)
		}))
	}
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
	if gone, err := e.incumbentGone(ctx, rec); !gone || err != nil {
		return err
	}
	if err := e.salvage(ctx, rec); err != nil {
		return err
	}
	rec.CNIPath = cmp.Or(rec.CNIPath, "/opt/cni/bin") // their files do not say; it is the runtimes' default
	if err := e.Engine().Revert(ctx, rec); err != nil {
		return fmt.Errorf("putting back device %s of container %s, which another plugin attached: %w", rec.Device, rec.ContainerID, err)
	}
	e.Log.Info("put back what nobody owns", zap.Stringer("attachment", k), zap.String("device", rec.Device))
	return nil
}

// incumbentGone reports whether the pod of an incumbent's file is certainly gone.
func (e *Env) incumbentGone(ctx context.Context, rec *record.Record) (gone bool, err error) {
	if rec.WrittenBefore(e.Booted) {
		return true, nil
	}
	if rec.Plugin == sriovType {
		rec.NetNS = e.Incumbents.SriovHolder(rec.Device)
	}
	if rec.NetNS == "" {
		if rec.NetNS, err = e.Incumbents.NetNSOf(rec.ContainerID); err != nil {
			return false, err
		}
	}
	if rec.NetNS != "" {
		if there, err := e.Kernel.HasNetNS(ctx, host.NetNS(rec.NetNS)); there || err != nil {
			return false, err
		}
	}
	if !slices.Contains(rec.Steps, record.StepNetdev) && !slices.Contains(rec.Steps, record.StepRDMA) {
		if rec.NetNS == "" {
			return false, nil // for vfio: nothing of it is in any namespace
		}
		return e.netNSGone(ctx, rec)
	}
	err = e.isHome(ctx, rec)
	if errors.Is(err, host.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

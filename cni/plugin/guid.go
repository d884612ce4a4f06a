package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/record"
)

// FreeGUID makes sure that no other device of the node has the GUID that rec is to get.
// What nobody owns any more is put back; what a pod has it keeps, whoever asks for the
// same: the GUID comes from an annotation, and partitions are joined by it.
//
// The caller holds no lock. RefuseGUID must follow once rec is on the disk.
func (e *Env) FreeGUID(ctx context.Context, rec *record.Record) error {
	if rec.GUID == 0 {
		return nil // it brings none: other devices' troubles are not its own
	}
	if err := e.Sweep(ctx, rec.GUID, rec.Device); err != nil {
		return err
	}
	others, err := e.withGUID(rec)
	if err != nil {
		return err
	}
	for _, other := range others {
		if left, err := e.collect(ctx, other); err != nil {
			return fmt.Errorf("freeing GUID %s: %w", rec.GUID, err)
		} else if left {
			return guidInUse(other)
		}
	}
	return nil
}

// RefuseGUID fails when another attachment has the GUID of rec, or is about to. Of two
// that come at once each finds the other's record, so at least one of them ends here.
func (e *Env) RefuseGUID(rec *record.Record) error {
	others, err := e.withGUID(rec)
	if err != nil || len(others) == 0 {
		return err
	}
	return guidInUse(others[0])
}

func guidInUse(by *record.Record) error {
	return &Error{Code: types.ErrTryAgainLater, Err: fmt.Errorf("GUID %s is on device %s, for interface %s of container %s; give this interface another, or delete that pod first", by.GUID, by.Device, by.IfName, by.ContainerID)}
}

func (e *Env) withGUID(rec *record.Record) ([]*record.Record, error) {
	if rec.GUID == 0 {
		return nil, nil
	}
	with, err := e.Store.OfGUID(rec.GUID)
	return slices.DeleteFunc(with, func(r *record.Record) bool {
		undone := r.Torn == nil && !slices.Contains(r.Steps, record.StepGUID)
		return undone || r.Device == rec.Device
	}), err
}

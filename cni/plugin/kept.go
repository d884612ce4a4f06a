package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/record"
)

// TakeKept gives the record of what the device has kept for the attachment that is about
// to be made of rec, nil for nothing. What it has kept for others is undone. The caller
// holds the device's lock, and removes the record from Kept once its own is on the disk.
// So its own steps must cover the kept ones: where they are not wanted, as after a change
// of the network, nothing is taken over.
func (e *Env) TakeKept(ctx context.Context, rec *record.Record, wanted func(step string) bool) (*record.Record, error) {
	if e.Kept == nil {
		return nil, nil
	}
	kept, err := e.Kept.OfDevice(rec.Device)
	if err != nil {
		return nil, err
	}
	boot, err := e.Kernel.BootID(ctx)
	if err != nil {
		return nil, err
	}
	unwanted := func(step string) bool { return !wanted(step) }
	var own *record.Record
	for _, old := range kept {
		if own == nil && old.Torn == nil && old.BootID == boot && old.GUID == rec.GUID && owner(old) == owner(rec) && !slices.ContainsFunc(old.Steps, unwanted) {
			e.Log.Info("going on where an earlier try ended", zap.String("device", rec.Device), zap.String("container", old.ContainerID))
			own = old
			continue
		}
		if err := e.Engine().Release(ctx, old); err != nil {
			return nil, fmt.Errorf("undoing what device %s kept for container %s: %w", rec.Device, old.ContainerID, err)
		}
	}
	return own, nil
}

// owner tells pods and their interfaces apart, whatever their containers are called. The
// pod's UID is what Multus passes on; without it the GUID alone must do.
func owner(rec *record.Record) string {
	for part := range strings.SplitSeq(rec.CNIArgs, ";") {
		if uid, ok := strings.CutPrefix(part, "K8S_POD_UID="); ok {
			return uid + " " + rec.IfName
		}
	}
	return rec.IfName
}

// keptFor reports whether an interface of the container was given up for want of the
// fabric, and not long ago.
func (e *Env) keptFor(container string) (bool, error) {
	if e.Kept == nil {
		return false, nil
	}
	kept, err := e.Kept.OfContainer(container)
	for _, r := range kept {
		if e.lasts(r) {
			return true, err
		}
	}
	return false, err
}

// lasts reports whether what is kept has time left. More than it can have been given
// means that the clock was set back: nobody knows then how long it has been.
func (e *Env) lasts(kept *record.Record) bool {
	left := kept.Until.Sub(e.Now())
	return kept.Torn == nil && left > 0 && left <= e.KeepFor
}

// Sweep undoes what devices have kept for too long. It also ends the claim that another
// device than the given one has on a GUID: no GUID may be on the fabric twice. Without a GUID
// it is gc's, who is to hear of all that fails.
func (e *Env) Sweep(ctx context.Context, g record.GUID, device string) error {
	if e.Kept == nil {
		return nil
	}
	all, err := e.Kept.All()
	errs := []error{err}
	for _, r := range all {
		elsewhere := g != 0 && r.GUID == g && r.Device != device
		if e.lasts(r) && !elsewhere {
			continue
		}
		err := e.release(ctx, r)
		switch {
		case err != nil && elsewhere:
			errs = append(errs, fmt.Errorf("GUID %s is still on device %s: %w", r.GUID, r.Device, err))
		case err != nil && g != 0:
			e.Log.Warn("an earlier try is left for later", zap.String("device", r.Device), zap.Error(err))
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *Env) release(ctx context.Context, kept *record.Record) error {
	unlock, err := e.Locks.Device(ctx, kept.Device)
	if err != nil {
		return err
	}
	defer unlock()
	taken, err := e.Store.OfDevice(kept.Device)
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		return e.Kept.Remove(kept) // that attachment knows how the device was
	}
	now, err := e.Kept.OfDevice(kept.Device)
	if err != nil {
		return err
	}
	for _, r := range now {
		if r.Key() == kept.Key() && r.Until.Equal(kept.Until) {
			e.Log.Info("undoing what was kept for a try that did not come", zap.String("device", r.Device), zap.String("container", r.ContainerID))
			return e.Engine().Release(ctx, r)
		}
	}
	return nil
}

package txn

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/record"
)

// InUseError says that a device belongs to another attachment that still exists.
type InUseError struct {
	Device string
	Holder record.Key
	NetNS  string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("device %s is in use by interface %s of container %s (%s)", e.Device, e.Holder.IfName, e.Holder.ContainerID, e.NetNS)
}

// Claim makes a device free for rec, before it is looked at: attachments that were never
// completed or whose namespace is gone, and earlier tries of the same attachment, are
// undone. One that is alive is an *InUseError.
func (e *Engine) Claim(ctx context.Context, rec *record.Record) error {
	holders, err := e.Store.OfDevice(rec.Device)
	if err != nil {
		return err
	}
	earlier, err := e.Store.Of(rec.Key()) // it may have had another device
	if err != nil {
		return err
	}
	boot, err := e.Node.BootID(ctx)
	if err != nil {
		return err
	}
	for _, old := range holders {
		alive, err := e.alive(ctx, old, boot)
		switch {
		case err != nil:
			return err
		case alive && old.Key() != rec.Key():
			return &InUseError{Device: old.Device, Holder: old.Key(), NetNS: old.NetNS}
		}
	}
	for _, old := range slices.Concat(holders, earlier) {
		e.Log.Info("undoing what an earlier attachment left", zap.Stringer("attachment", old.Key()),
			zap.String("device", old.Device), zap.Strings("steps", old.Steps), zap.Error(old.Torn))
		if err := e.Revert(ctx, old); err != nil && e.holds(old) {
			return fmt.Errorf("undoing what container %s left of device %s: %w", old.ContainerID, old.Device, err)
		} else if err != nil {
			// An address that cannot be given back now is no reason to keep the device.
			e.Log.Warn("something is left for the next try", zap.Stringer("attachment", old.Key()), zap.Error(err))
		}
	}
	return nil
}

// alive reports whether an attachment is in use: complete, of this boot, and its
// namespace exists. Nobody is at work on one that is not complete: its lock is ours.
func (e *Engine) alive(ctx context.Context, old *record.Record, boot string) (bool, error) {
	if !old.Ready || old.Torn != nil || old.BootID != boot {
		return false, nil
	}
	return HasNetNS(ctx, e.Node, old)
}

// holds reports whether the record has steps left that concern the device.
func (e *Engine) holds(rec *record.Record) bool {
	return slices.ContainsFunc(e.Steps(rec), func(s Step) bool {
		return !s.OnDisk && covers(rec, s)
	})
}

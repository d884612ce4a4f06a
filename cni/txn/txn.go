// Package txn changes a node in steps that can be undone. What would be undone, and how
// everything was before, is in a record on the disk before the first step acts, so the
// program can die at any moment: the next ADD on the device, the DEL of the attachment
// or a garbage collection finds the record and puts things right.
//
// An Undo does not take back what its Do did; it makes things so as they were before,
// whatever it finds. So it can run when Do never ran, ran by half, or was undone before.
package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// Step is one change. Do or Undo can be nil: nothing to do, or nothing left behind.
type Step struct {
	Name     string
	Do, Undo func(context.Context) error
	// OnDisk: what Do changes outlives a reboot, and is no property of the device. All
	// other steps are about the kernel's state, which a reboot has reset.
	OnDisk bool
}

// Engine runs steps. The caller holds the lock of the record's device.
type Engine struct {
	Store *record.Store
	Node  host.Node
	Log   *zap.Logger
	// Steps are those of the plugin that wrote the record, made from the record alone.
	Steps func(*record.Record) []Step
	// UndoTime bounds an undoing, which no caller's deadline cuts short.
	UndoTime time.Duration
}

// Apply writes the record and does the steps. If one fails, it and those before it are
// undone; what cannot be undone now stays in the record.
func (e *Engine) Apply(ctx context.Context, rec *record.Record, steps []Step) error {
	boot, err := e.Node.BootID(ctx)
	if err != nil {
		return err
	}
	rec.BootID, rec.Ready, rec.Steps = boot, false, names(steps)
	if err := e.Store.Write(rec); err != nil {
		return err
	}
	for i, step := range steps {
		if err := e.do(ctx, step); err != nil {
			return errors.Join(err, e.undo(ctx, rec, steps[:i+1]))
		}
	}
	rec.Ready = true
	if err := e.Store.Write(rec); err != nil {
		return errors.Join(err, e.undo(ctx, rec, steps))
	}
	return nil
}

func (e *Engine) do(ctx context.Context, step Step) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("before %s: %w", step.Name, context.Cause(ctx))
	}
	if step.Do == nil {
		return nil
	}
	start := time.Now()
	err := step.Do(ctx)
	e.Log.Debug("step", zap.String("step", step.Name), zap.Duration("took", time.Since(start)), zap.Error(err))
	return err
}

// Revert undoes all that the record holds and forgets it. Whatever fails, the rest is
// undone; the record then holds what is left, and Revert can be called again.
func (e *Engine) Revert(ctx context.Context, rec *record.Record) error {
	return e.undo(ctx, rec, e.Steps(rec))
}

func (e *Engine) undo(ctx context.Context, rec *record.Record, steps []Step) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.UndoTime)
	defer cancel()
	boot, err := e.Node.BootID(ctx)
	if err != nil {
		return err
	}
	rebooted := rec.BootID != "" && rec.BootID != boot
	var failed []Step
	var errs []error
	for _, step := range slices.Backward(steps) {
		if step.Undo == nil || !covers(rec, step) || rebooted && !step.OnDisk {
			continue
		}
		start := time.Now()
		err := step.Undo(ctx)
		e.Log.Debug("undo", zap.String("step", step.Name), zap.Duration("took", time.Since(start)), zap.Error(err))
		if err != nil {
			errs = append(errs, fmt.Errorf("undoing %s: %w", step.Name, err))
			failed = append(failed, step)
		}
	}
	if len(errs) == 0 {
		return e.Store.Remove(rec)
	}
	rec.Steps, rec.Ready, rec.Torn = left(rec, steps, failed), false, nil
	if rec.Stored() {
		errs = append(errs, e.Store.Write(rec))
	}
	return errors.Join(errs...)
}

// left is what is still to be undone when some steps failed. The device's steps stay
// together: to undo one of them once more can disturb what others made right, as a
// rebind does with names.
func left(rec *record.Record, steps, failed []Step) []string {
	device := slices.ContainsFunc(failed, func(s Step) bool { return !s.OnDisk })
	var list []string
	for _, s := range steps {
		again := slices.ContainsFunc(failed, func(f Step) bool { return f.Name == s.Name })
		if covers(rec, s) && (again || device && !s.OnDisk) {
			list = append(list, s.Name)
		}
	}
	return list
}

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
	return e.Node.HasNetNS(ctx, host.NetNS(old.NetNS))
}

// holds reports whether the record has steps left that concern the device.
func (e *Engine) holds(rec *record.Record) bool {
	return slices.ContainsFunc(e.Steps(rec), func(s Step) bool {
		return !s.OnDisk && covers(rec, s)
	})
}

// covers reports whether a step may have changed something. Of a torn record that has to
// be assumed of all.
func covers(rec *record.Record, s Step) bool {
	return rec.Torn != nil || slices.Contains(rec.Steps, s.Name)
}

func names(steps []Step) []string {
	list := make([]string, len(steps))
	for i, s := range steps {
		list[i] = s.Name
	}
	return list
}

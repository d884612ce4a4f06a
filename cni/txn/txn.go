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
	// Keep: stays when the attachment is kept for another try (see Engine.Kept).
	Keep bool
}

// PendingError is the error of a step that has done all there is to do on this node: what
// is missing, others must do, and are perhaps about to.
type PendingError struct{ Err error }

func (e *PendingError) Error() string { return e.Err.Error() }

func (e *PendingError) Unwrap() error { return e.Err }

// Engine runs steps. The caller holds the lock of the record's device.
type Engine struct {
	Store *record.Store
	Node  host.Node
	Log   *zap.Logger
	// Steps are those of the plugin that wrote the record, made from the record alone. An Undo
	// looks into it when it runs: its namespace may be forgotten by then.
	Steps func(*record.Record) []Step
	// UndoTime bounds an undoing, which no caller's deadline cuts short.
	UndoTime time.Duration

	// Kept is where the records go of devices that keep some steps for another try of
	// their owner, so that it need not begin anew. KeepUntil says for how long; nil: no
	// device keeps anything.
	Kept      *record.Store
	KeepUntil func() time.Time
}

// Apply writes the record, which knows its network namespace, and does the steps. If one
// fails, it and those before it are undone; what cannot be undone now stays in the record.
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
			var pending *PendingError
			return errors.Join(err, e.undo(ctx, rec, begun(steps, i), errors.As(err, &pending)))
		}
	}
	rec.Ready = true
	if err := e.Store.Write(rec); err != nil {
		return errors.Join(err, e.undo(ctx, rec, steps, false))
	}
	return nil
}

// begun are the steps that may have changed something when number i failed: those up to
// it, and those that an earlier try may have done and kept.
func begun(steps []Step, i int) []Step {
	list := slices.Clone(steps[:i+1])
	for _, s := range steps[i+1:] {
		if s.Keep {
			list = append(list, s)
		}
	}
	return list
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
	return e.undo(ctx, rec, e.Steps(rec), false)
}

// Leave is Revert, but the device keeps its steps for another try, if it has any.
func (e *Engine) Leave(ctx context.Context, rec *record.Record) error {
	return e.undo(ctx, rec, e.Steps(rec), true)
}

// Release undoes what a device has kept. The record is one of Kept.
func (e *Engine) Release(ctx context.Context, rec *record.Record) error {
	kept := *e
	kept.Store = e.Kept
	return kept.Revert(ctx, rec)
}

func (e *Engine) undo(ctx context.Context, rec *record.Record, steps []Step, keep bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.UndoTime)
	defer cancel()
	if err := e.forgetNetNS(ctx, rec); err != nil {
		return err
	}
	boot, err := e.Node.BootID(ctx)
	if err != nil {
		return err
	}
	rebooted := rec.BootID != "" && rec.BootID != boot
	keep = keep && !rebooted && e.keeps(rec, steps)
	var failed []Step
	var errs []error
	for _, step := range slices.Backward(steps) {
		if step.Undo == nil || !covers(rec, step) || rebooted && !step.OnDisk || keep && step.Keep {
			continue
		}
		start := time.Now()
		err := e.undoStep(ctx, step)
		e.Log.Debug("undo", zap.String("step", step.Name), zap.Duration("took", time.Since(start)), zap.Error(err))
		if err != nil {
			errs = append(errs, fmt.Errorf("undoing %s: %w", step.Name, err))
			failed = append(failed, step)
		}
	}
	if len(errs) == 0 && keep {
		errs = append(errs, e.keep(rec, steps))
	}
	if errors.Join(errs...) == nil {
		return e.Store.Remove(rec)
	}
	rec.Steps, rec.Ready, rec.Torn = left(rec, steps, failed), false, nil
	if rec.Stored() {
		errs = append(errs, e.Store.Write(rec))
	}
	return errors.Join(errs...)
}

// undoStep gives what is on the disk half of the time at most: its undo is another program's
// work, and while that hangs the device would keep a dead pod's GUID. A minute is what
// whereabouts allows itself.
func (e *Engine) undoStep(ctx context.Context, step Step) error {
	if step.OnDisk {
		limit := e.UndoTime / 2
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not done within %v; it is tried again", limit))
		defer cancel()
	}
	return step.Undo(ctx)
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

// keeps reports whether the record has something that can be kept.
func (e *Engine) keeps(rec *record.Record, steps []Step) bool {
	return e.KeepUntil != nil && rec.Stored() && rec.Torn == nil &&
		slices.ContainsFunc(steps, func(s Step) bool { return s.Keep && covers(rec, s) })
}

// keep writes down what the device keeps before its attachment is forgotten. A death in
// between leaves both records, which have the same to say of how the device was.
func (e *Engine) keep(rec *record.Record, steps []Step) error {
	kept := *rec
	kept.Ready, kept.Until, kept.Steps = false, e.KeepUntil(), nil
	for i, s := range steps {
		if covers(rec, s) && (s.Keep || i == 0) { // the first step is the device's own
			kept.Steps = append(kept.Steps, s.Name)
		}
	}
	e.Log.Info("kept for another try", zap.String("device", rec.Device), zap.Strings("steps", kept.Steps), zap.Time("until", kept.Until))
	return e.Kept.Write(&kept)
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

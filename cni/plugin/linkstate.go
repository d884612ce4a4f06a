package plugin

import (
	"context"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// LinkStateStep sets the policy for a VF's link: auto, enable or disable. With auto the VF's
// port follows the PF's; on many nodes it comes up with enable only.
func (e *Env) LinkStateStep(rec *record.Record, vf host.VF, want string) txn.Step {
	return txn.Step{
		Name: record.StepLinkState,
		Do: func(ctx context.Context) error {
			// Nothing is asked of the firmware that is so already.
			if want == rec.Original.LinkState {
				return nil
			}
			return e.setLinkState(ctx, rec, vf, want)
		},
		Undo: func(ctx context.Context) error {
			d, err := e.Kernel.Device(ctx, host.PCI(rec.Device))
			// An incumbent's file need not say what it was; then it stays.
			if err != nil || !d.IsVF() || rec.Original.LinkState == "" {
				return UnlessGone(err)
			}
			config, err := e.Kernel.VFConfig(ctx, d.VF)
			if err != nil || config.LinkState.String() == rec.Original.LinkState {
				return err
			}
			return e.setLinkState(ctx, rec, d.VF, rec.Original.LinkState)
		},
	}
}

func (e *Env) setLinkState(ctx context.Context, rec *record.Record, vf host.VF, text string) error {
	state, err := host.ParseLinkState(text)
	if err != nil {
		return err
	}
	if err := e.Kernel.SetVFLinkState(ctx, vf, state); err != nil {
		return err
	}
	e.Log.Info("link state set", zap.String("device", rec.Device), zap.Stringer("state", state))
	return nil
}

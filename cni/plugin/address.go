package plugin

import (
	"context"
	"errors"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// StepRoutes is the name of RouteStep.
const StepRoutes = "routes"

// AddressStep asks IPAM for addresses, gives them to the interface and hands the result
// on, its addresses pointing at interface 0. With bySource a default route of its goes
// nowhere when the pod has one: it is for the interface's own table then.
func (e *Env) AddressStep(rec *record.Record, bySource bool, got func(*types100.Result)) txn.Step {
	return txn.Step{
		Name: record.StepIPAM, OnDisk: true,
		Do: func(ctx context.Context) error {
			result, err := e.IPAM.Add(ctx, rec)
			if err != nil {
				return err
			}
			if len(result.IPs) == 0 {
				return Invalid("ipam", "plugin %s gave no address", IPAMType(rec.Config))
			}
			first := 0
			for _, ip := range result.IPs {
				ip.Interface = &first
			}
			if err := txn.NeedNetNS(ctx, e.Kernel, rec); err != nil {
				return err
			}
			result.Interfaces = []*types100.Interface{{Name: rec.IfName, Sandbox: rec.NetNS}}
			main := result
			if bySource {
				if main, err = e.withoutDefaults(ctx, rec, result); err != nil {
					return err
				}
			}
			if err := e.Kernel.Configure(ctx, host.NetNS(rec.NetNS), rec.IfName, main); err != nil {
				return err
			}
			e.Log.Info("addresses set", zap.String("ifname", rec.IfName), zap.Any("ips", result.IPs))
			got(result)
			return nil
		},
		Undo: func(ctx context.Context) error {
			if IPAMType(rec.Config) == "" {
				return nil // a torn record does not say whether there was one
			}
			return e.IPAM.Del(ctx, rec)
		},
	}
}

// withoutDefaults is the result less the default routes that the pod has already: its
// first network keeps them, as a route of the same kind would get in front of it.
func (e *Env) withoutDefaults(ctx context.Context, rec *record.Record, result *types100.Result) (*types100.Result, error) {
	less := *result
	less.Routes = nil
	for _, r := range result.Routes {
		if ones, _ := r.Dst.Mask.Size(); ones == 0 {
			has, err := e.Kernel.HasDefaultRoute(ctx, host.NetNS(rec.NetNS), r.Dst.IP.To4() == nil)
			if err != nil {
				return nil, err
			}
			if has {
				continue
			}
		}
		less.Routes = append(less.Routes, r)
	}
	return &less, nil
}

// RouteStep has what is asked through an interface answered through it. It comes after
// AddressStep, whose result it needs.
func (e *Env) RouteStep(rec *record.Record, result func() *types100.Result) txn.Step {
	return txn.Step{
		Name: StepRoutes,
		Do: func(ctx context.Context) error {
			// Settling the addresses before this took seconds, and this one goes by a name.
			if err := txn.NeedNetNS(ctx, e.Kernel, rec); err != nil {
				return err
			}
			return e.Kernel.RouteBySource(ctx, host.NetNS(rec.NetNS), rec.IfName, result())
		},
		Undo: func(ctx context.Context) error {
			pod := host.NetNS(rec.NetNS)
			if pod == host.Home {
				return nil // whose rules those would be nobody knows any more
			}
			// By its device: another pod's interface can have the same name, at a path that
			// was this pod's.
			n, err := e.Kernel.Netdev(ctx, pod, host.PCI(rec.Device))
			if err != nil && !errors.Is(err, host.ErrNotFound) {
				return err
			}
			return UnlessGone(e.Kernel.UnrouteBySource(ctx, pod, n.Index))
		},
	}
}

package plugin

import (
	"context"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// AddressStep asks IPAM for addresses, gives them to the interface and hands the result
// on, its addresses pointing at interface 0.
func (e *Env) AddressStep(rec *record.Record, got func(*types100.Result)) txn.Step {
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
			result.Interfaces = []*types100.Interface{{Name: rec.IfName, Sandbox: rec.NetNS}}
			if err := e.Kernel.Configure(ctx, host.NetNS(rec.NetNS), rec.IfName, result); err != nil {
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

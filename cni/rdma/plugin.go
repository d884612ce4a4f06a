// Package rdma is the chained CNI plugin rdma: it gives a pod the RDMA device of the VF
// that the plugin before it in the chain has given. The plugins of this project do the
// same by themselves (rdmaIsolation); this one is for chains that were written for
// rdma-cni, whose configuration and state files it takes.
package rdma

import (
	"context"
	"errors"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// Type is the plugin's CNI type.
const Type = "rdma"

// Undo lists the steps that undo a record.
func Undo(env *plugin.Env, rec *record.Record) []txn.Step { return []txn.Step{env.RDMAStep(rec)} }

type config struct {
	Name     string `json:"name"`
	DeviceID string `json:"deviceID"`
}

// Add gives a pod its RDMA device and passes the answer of the chain on.
func Add(ctx context.Context, env *plugin.Env, req plugin.Request) (*types100.Result, error) {
	var conf config
	if err := plugin.Decode(req.Config, &conf); err != nil {
		return nil, err
	}
	// A chained plugin answers with what came before it; alone it would have no answer.
	result, err := plugin.Previous(req.Config)
	if err != nil {
		return nil, err
	}
	device, err := deviceOf(conf, req, result)
	if err != nil {
		return nil, err
	}
	namespace, err := env.NeedNetNS(ctx, req.NetNS)
	if err != nil {
		return nil, err
	}
	if err := env.NeedExclusive(ctx); err != nil {
		return nil, err
	}
	release, err := env.Locks.Device(ctx, string(device))
	if err != nil {
		return nil, err
	}
	defer release()
	rec := env.NewRecord(req, Type, conf.Name, string(device))
	rec.NetNSID = namespace
	if err := env.Engine().Claim(ctx, rec); err != nil {
		return nil, err
	}
	steps := Undo(env, rec)
	switch _, err := env.Kernel.RDMADevice(ctx, req.NetNS, device); {
	case err == nil:
		// The plugin before isolates by itself, and takes it home by itself. The record
		// says that there is nothing to undo.
		env.Log.Info("the pod has its RDMA device already", zap.String("device", string(device)))
		steps = nil
	case !errors.Is(err, host.ErrNotFound):
		return nil, err
	default:
		if err := inspect(ctx, env, rec); err != nil {
			return nil, err
		}
	}
	return result, env.Engine().Apply(ctx, rec, steps)
}

// deviceOf is the device of the configuration, else that of the chain's interface.
func deviceOf(conf config, req plugin.Request, result *types100.Result) (host.PCI, error) {
	id := conf.DeviceID
	for _, i := range result.Interfaces {
		if id == "" && i.Name == req.IfName {
			id = i.PciID
		}
	}
	if id == "" {
		return "", plugin.NoDevice()
	}
	parse := host.ParsePCI
	if !strings.Contains(id, ":") {
		parse = host.ParseAuxiliary
	}
	device, err := parse(id)
	if err != nil {
		return "", plugin.Invalid("deviceID", "%w", err)
	}
	return device, nil
}

func inspect(ctx context.Context, env *plugin.Env, rec *record.Record) error {
	device := host.PCI(rec.Device)
	if _, err := env.FindDevice(ctx, device); err != nil {
		return err
	}
	if err := env.InspectRDMA(ctx, rec); err != nil {
		return err
	}
	// The netdev went into the pod before, by another plugin, and the move of an InfiniBand
	// device would end it there.
	port, err := env.Kernel.Port(ctx, host.Home, device)
	if err == nil && !port.Ethernet {
		err = plugin.Invalid("deviceID", "%s has an InfiniBand port, whose netdev would not outlive the move; set rdmaIsolation in ib-sriov instead of chaining rdma", device)
	}
	return err
}

// Del takes the RDMA device back.
func Del(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	var conf config
	_ = plugin.Decode(req.Config, &conf) // DEL does without it
	return plugin.Del(ctx, env, req, incumbent(env, conf))
}

// Check looks whether the pod still has its RDMA device.
func Check(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	var conf config
	if err := plugin.Decode(req.Config, &conf); err != nil {
		return err
	}
	return plugin.Check(ctx, env, req, incumbent(env, conf), nil)
}

// Status reports why the node cannot take an ADD.
func Status(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return plugin.Status(ctx, env, req, true)
}

func incumbent(env *plugin.Env, conf config) func(record.Key) (*record.Record, error) {
	return func(k record.Key) (*record.Record, error) { return env.Incumbents.FromRDMA(conf.Name, k) }
}

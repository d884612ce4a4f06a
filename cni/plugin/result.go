package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// Previous is the answer of ADD, or of the plugin before this one in a chain.
func Previous(config []byte) (*types100.Result, error) {
	var conf types.PluginConf
	if err := json.Unmarshal(config, &conf); err != nil {
		return nil, &Error{Code: types.ErrDecodingFailure, Err: fmt.Errorf("reading the configuration: %w", err)}
	}
	if conf.RawPrevResult == nil {
		return nil, Invalid("prevResult", "is missing; the runtime gives the answer of ADD here")
	}
	if err := version.ParsePrevResult(&conf); err != nil {
		return nil, Invalid("prevResult", "%w", err)
	}
	result, err := current(conf.PrevResult)
	if err != nil {
		return nil, Invalid("prevResult", "%w", err)
	}
	return result, nil
}

// current is an answer in the newest form, with something in each entry of its lists. An
// entry that is null would be a nil pointer, which the conversion itself does not expect.
func current(answer types.Result) (*types100.Result, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for name, field := range fields {
		var list []json.RawMessage
		_ = json.Unmarshal(field, &list) // what is no list has no entries
		for i, entry := range list {
			if string(entry) == "null" {
				return nil, fmt.Errorf("entry %d of %s is null", i, name)
			}
		}
	}
	return types100.NewResultFromResult(answer)
}

// Answer is what ADD answers: the interface, and the addresses that IPAM gave it, if any.
// userSpace says that the pod drives the device by itself, so that it has no interface yet.
func (e *Env) Answer(ctx context.Context, rec *record.Record, ips *types100.Result, userSpace bool) (*types100.Result, error) {
	// The newest form; whoever prints it converts it to the one that the network speaks.
	result := &types100.Result{CNIVersion: types100.ImplementedSpecVersion}
	if ips != nil {
		result = ips
	}
	i := &types100.Interface{Name: rec.IfName, Sandbox: rec.NetNS, PciID: rec.Device}
	result.Interfaces = []*types100.Interface{i}
	if userSpace {
		return result, nil
	}
	// It was there a moment ago; only the pod itself could have taken it away.
	n, err := Await(ctx, time.Second, func() (host.Netdev, error) {
		return e.Kernel.Netdev(ctx, host.NetNS(rec.NetNS), host.PCI(rec.Device))
	})
	if err != nil { // the pod would run without its interface
		return nil, errors.Join(err, e.Engine().Revert(ctx, rec))
	}
	i.Mac, i.Mtu = n.Addr.String(), n.MTU
	return result, nil
}

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/containernetworking/cni/pkg/types"
)

// Status reports why this node cannot take an ADD of the network: code 50. What depends on
// the device it cannot know. Runtimes ask every few seconds, and hold all pods of the node
// back while it fails, so it asks for no more than every ADD needs. isolate says that it asks for isolation whatever the configuration has to say.
func Status(ctx context.Context, e *Env, req Request, isolate bool) error {
	var conf struct {
		Isolate bool `json:"rdmaIsolation"`
	}
	if err := json.Unmarshal(req.Config, &conf); err != nil {
		return &Error{Code: types.ErrDecodingFailure, Err: err}
	}
	errs := []error{e.writable(), e.serves(ctx, isolate || conf.Isolate)}
	if IPAMType(req.Config) != "" {
		errs = append(errs, e.IPAM.Status(ctx, e.NewRecord(req, "", "", "")))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Code: types.ErrPluginNotAvailable, Err: err}
	}
	return nil
}

func (e *Env) serves(ctx context.Context, isolate bool) error {
	if isolate {
		return e.NeedExclusive(ctx)
	}
	_, err := e.Kernel.RDMAMode(ctx) // it answers when ib_core is there
	return err
}

// writable tries what every ADD begins with.
func (e *Env) writable() error {
	if err := os.MkdirAll(e.Store.Dir(), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(e.Store.Dir(), ".status-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

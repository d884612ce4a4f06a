// Package plugin is what the CNI plugins have in common: the call and its answer, the
// steps that any VF goes through on its way into a pod, and DEL, which needs no more
// than the record that ADD left.
//
// A plugin on top of it reads its configuration, looks at the device, and lists steps:
// its own, and those of this package. Its Undo gives the same list for a record alone.
package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// Env is the node that a plugin works on.
type Env struct {
	Kernel     host.Kernel
	Store      *record.Store
	Incumbents record.Incumbents
	Locks      txn.Locks
	IPAM       IPAM
	Log        *zap.Logger
	Now        func() time.Time
	// Kept are the devices that keep their GUID for another try of the same pod, each for
	// KeepFor; 0: none does. Somebody must call Sweep meanwhile.
	Kept    *record.Store
	KeepFor time.Duration
	// Booted is when the node did; zero: unknown. What other programs wrote before that is
	// about devices that are new since.
	Booted time.Time
	// Settle is how long devices may take to appear after a bind, a move or the end of
	// a namespace.
	Settle time.Duration
	// Undo lists the steps of the plugin that wrote a record. A torn record names none.
	Undo func(*Env, *record.Record) []txn.Step
}

// Engine runs the steps of attachments on this node.
func (e *Env) Engine() *txn.Engine {
	engine := &txn.Engine{
		Store: e.Store, Kept: e.Kept, Node: e.Kernel, Log: e.Log,
		Steps:    func(r *record.Record) []txn.Step { return e.Undo(e, r) },
		UndoTime: 2 * time.Minute, // several rebinds and IPAM; a runtime calls DEL again
	}
	if e.KeepFor > 0 {
		engine.KeepUntil = func() time.Time { return e.Now().Add(e.KeepFor) }
	}
	return engine
}

// Request is a call of a plugin.
type Request struct {
	ContainerID, IfName string
	NetNS               host.NetNS
	Args, Path          string // CNI_ARGS, CNI_PATH
	Config              []byte
}

// FromSkel reads a call as the runtime made it.
func FromSkel(args *skel.CmdArgs) Request {
	return Request{
		ContainerID: args.ContainerID, IfName: args.IfName, NetNS: host.NetNS(args.Netns),
		Args: args.Args, Path: args.Path, Config: args.StdinData,
	}
}

// Key names the attachment that the call is about.
func (r Request) Key() record.Key { return record.Key{ContainerID: r.ContainerID, IfName: r.IfName} }

// NewRecord begins the record of an attachment.
func (e *Env) NewRecord(r Request, plugin, network, device string) *record.Record {
	return &record.Record{
		Plugin: plugin, Network: network, ContainerID: r.ContainerID, IfName: r.IfName,
		Device: device, NetNS: string(r.NetNS), Created: e.Now(),
		Config: r.Config, CNIArgs: r.Args, CNIPath: r.Path,
	}
}

// Await looks again and again for what is not there yet, for at most the given time.
func Await[T any](ctx context.Context, limit time.Duration, look func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, 200*time.Millisecond) {
		found, err := look()
		if err == nil || !errors.Is(err, host.ErrNotFound) {
			return found, err
		}
		if Sleep(ctx, delay) != nil {
			return found, err
		}
	}
}

// Sleep waits, or gives the reason why the context ended before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

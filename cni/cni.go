// Package cni is the CNI plugins of ibfabric by their names. Each is in a package of its
// own; what they share is in package plugin, what they do in steps in txn, what they
// remember in record, and what they ask of the kernel in host.
package cni

import (
	"context"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/ibsriov"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/rdma"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/sriov"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// Plugin is what a runtime calls.
type Plugin struct {
	Type   string
	Add    func(context.Context, *plugin.Env, plugin.Request) (*types100.Result, error)
	Del    func(context.Context, *plugin.Env, plugin.Request) error
	Check  func(context.Context, *plugin.Env, plugin.Request) error
	Status func(context.Context, *plugin.Env, plugin.Request) error
	undo   func(*plugin.Env, *record.Record) []txn.Step
}

// Plugins are all of them.
func Plugins() []Plugin {
	status := func(ctx context.Context, env *plugin.Env, req plugin.Request) error {
		return plugin.Status(ctx, env, req, false)
	}
	return []Plugin{
		{Type: ibsriov.Type, Add: ibsriov.Add, Del: ibsriov.Del, Check: ibsriov.Check, Status: status, undo: ibsriov.Undo},
		{Type: sriov.Type, Add: sriov.Add, Del: sriov.Del, Check: sriov.Check, Status: status, undo: sriov.Undo},
		{Type: rdma.Type, Add: rdma.Add, Del: rdma.Del, Check: rdma.Check, Status: rdma.Status, undo: rdma.Undo},
	}
}

// Named finds a plugin by its CNI type.
func Named(name string) (Plugin, bool) {
	for _, p := range Plugins() {
		if p.Type == name {
			return p, true
		}
	}
	return Plugin{}, false
}

// GC puts back what no valid attachment of the network to this plugin owns.
func (p Plugin) GC(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return plugin.GC(ctx, env, req, p.Type)
}

// Undo lists the steps of the plugin that wrote a record, or of this one where the record
// does not say, as a torn one. The records of rdma are its own in any case. It is for plugin.Env.
func (p Plugin) Undo(env *plugin.Env, rec *record.Record) []txn.Step {
	if writer, ok := Named(rec.Plugin); ok && p.Type != rdma.Type {
		p = writer
	}
	return p.undo(env, rec)
}

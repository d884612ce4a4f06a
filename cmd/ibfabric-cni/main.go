//go:build linux

// Command ibfabric-cni is the CNI plugins of ibfabric in one program. Which of them it
// is, the name says that it is called by: ib-sriov.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/ibsriov"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

func main() { os.Exit(run(os.Args, "/")) }

// run is the program with its state under root.
func run(argv []string, root string) int {
	name := filepath.Base(argv[0])
	p := program{name: name, root: root}
	about := fmt.Sprintf("ibfabric-cni %s, called as %s. Put it into the CNI bin directory under the name ib-sriov.", buildVersion(), name)
	if len(argv) > 1 || os.Getenv("CNI_COMMAND") == "" {
		fmt.Fprintln(os.Stderr, about)
		return 0
	}
	err := skel.PluginMainFuncsWithError(p.funcs(), version.All, about)
	if err == nil {
		return 0
	}
	if printErr := err.Print(); printErr != nil {
		fmt.Fprintln(os.Stderr, "writing the error to stdout:", printErr)
	}
	return 1
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown version)"
}

// program is the plugin with one of its names.
type program struct{ name, root string }

func (p program) funcs() skel.CNIFuncs {
	if p.name != ibsriov.Type {
		unknown := func(*skel.CmdArgs) error {
			return types.NewError(types.ErrPluginNotAvailable, fmt.Sprintf("ibfabric-cni was called as %q and has no plugin of that name; call it as %s", p.name, ibsriov.Type), "")
		}
		return skel.CNIFuncs{Add: unknown, Del: unknown, Check: unknown, GC: unknown, Status: unknown}
	}
	return skel.CNIFuncs{
		Add: p.call("ADD", p.add), Del: p.call("DEL", p.del),
		// Nil functions would answer that all is well.
		Check: notYet("CHECK"), GC: notYet("GC"), Status: notYet("STATUS"),
	}
}

func notYet(command string) func(*skel.CmdArgs) error {
	return func(*skel.CmdArgs) error {
		return types.NewError(types.ErrInternal, command+" is not built into this release; nothing was looked at", "")
	}
}

// call runs a command with a context that the runtime's signal ends, so that a call that
// is given up is undone.
func (p program) call(command string, f func(context.Context, *plugin.Env, plugin.Request) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		log, closeLog := newLogger(p.name, command, args)
		defer closeLog()
		env := p.env()
		env.Log = log
		err := f(ctx, env, plugin.FromSkel(args))
		if err != nil {
			log.Error(command+" failed", zap.Error(err))
		}
		return plugin.ToCNI(err)
	}
}

func (p program) env() *plugin.Env {
	under := func(path string) string { return filepath.Join(p.root, path) }
	return &plugin.Env{
		Kernel:     host.New(host.Paths{}),
		Store:      record.NewStore(under("var/lib/cni/ibfabric")),
		Incumbents: record.Incumbents{IBSriov: under("var/lib/cni/ib-sriov"), Sriov: under("var/lib/cni/sriov")},
		Locks:      txn.Locks{Dir: under("var/run/cni/ibfabric"), Wait: time.Minute},
		IPAM:       plugin.ExecIPAM{},
		Now:        time.Now,
		Settle:     30 * time.Second, // many namespaces that end at once were seen to take over 5 s
		Undo:       ibsriov.Undo,
	}
}

func (p program) add(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	result, err := ibsriov.Add(ctx, env, req)
	if err != nil {
		return err
	}
	configVersion, err := (&version.ConfigDecoder{}).Decode(req.Config)
	if err != nil {
		return err
	}
	return types.PrintResult(result, configVersion)
}

func (p program) del(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	return ibsriov.Del(ctx, env, req)
}

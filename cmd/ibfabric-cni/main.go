//go:build linux

// Command ibfabric-cni is the CNI plugins of ibfabric in one program. Which of them it
// is, the name says that it is called by: ib-sriov, sriov or rdma. Called by another name
// and with a command it is a tool for the node.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cmd/internal/release"
	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/plugin"
	"github.com/ibfabric/ibfabric/cni/rdma"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

func main() { os.Exit(run(os.Args, "/")) }

// run is the program with its state under root.
func run(argv []string, root string) int {
	if len(argv) > 1 { // runtimes give plugins no arguments
		switch argv[1] {
		case "install":
			return runInstall(newTool(), argv[2:])
		case "doctor":
			return runDoctor(newTool(), argv[2:], nil)
		case "gc":
			return runGC(newTool(), argv[2:], root)
		}
	}
	name := filepath.Base(argv[0])
	about := fmt.Sprintf("ibfabric-cni %s, called as %s. Put it into the CNI bin directory under the names %s.", release.Text(), name, names())
	if len(argv) > 1 || os.Getenv("CNI_COMMAND") == "" {
		fmt.Fprintln(os.Stderr, about+" Its tools for a node are install, doctor and gc; --help after one of them says more.")
		return 0
	}
	err := skel.PluginMainFuncsWithError(funcs(name, root), version.All, about)
	if err == nil {
		return 0
	}
	if printErr := err.Print(); printErr != nil {
		fmt.Fprintln(os.Stderr, "writing the error to stdout:", printErr)
	}
	return 1
}

func names() string {
	var list []string
	for _, p := range cni.Plugins() {
		list = append(list, p.Type)
	}
	return strings.Join(list, ", ")
}

// program is one of the plugins, with its state under root.
type program struct {
	cni.Plugin
	root string
}

func funcs(name, root string) skel.CNIFuncs {
	found, ok := cni.Named(name)
	if !ok {
		unknown := func(*skel.CmdArgs) error {
			return types.NewError(types.ErrPluginNotAvailable, fmt.Sprintf("ibfabric-cni was called as %q and has no plugin of that name; call it by one of %s", name, names()), "")
		}
		return skel.CNIFuncs{Add: unknown, Del: unknown, Check: unknown, GC: unknown, Status: unknown}
	}
	p := program{found, root}
	return skel.CNIFuncs{
		Add: p.call("ADD", p.add), Del: p.call("DEL", p.Del), Check: p.call("CHECK", p.Check),
		GC: p.call("GC", p.GC), Status: p.call("STATUS", p.Status),
	}
}

// call runs a command with a context that the runtime's signal ends, so that a call that
// is given up is undone.
func (p program) call(command string, f func(context.Context, *plugin.Env, plugin.Request) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		log, closeLog := newLogger(p.root, p.Type, command, args)
		defer closeLog()
		env := p.env(log)
		err := f(ctx, env, plugin.FromSkel(args))
		if err != nil {
			log.Error(command+" failed", zap.Error(err))
		}
		return plugin.ToCNI(err)
	}
}

func (p program) env(log *zap.Logger) *plugin.Env {
	under := func(path string) string { return filepath.Join(p.root, path) }
	state := under(stateDir)
	env := &plugin.Env{
		Kernel:     host.New(host.Paths{}),
		Store:      record.NewStore(state),
		Kept:       record.NewStore(filepath.Join(state, "kept")),
		Incumbents: record.Incumbents{IBSriov: under("var/lib/cni/ib-sriov"), Sriov: under("var/lib/cni/sriov"), RDMA: under("var/lib/cni/rdma"), Results: under("var/lib/cni/results")},
		Locks:      txn.Locks{Dir: under("var/run/cni/ibfabric"), Wait: time.Minute},
		IPAM:       plugin.ExecIPAM{},
		Log:        log,
		Now:        time.Now,
		Settle:     30 * time.Second, // many namespaces that end at once were seen to take over 5 s
		Undo:       p.Undo,
	}
	booted, err := host.Booted(time.Now())
	if err != nil {
		log.Warn("files of other plugins count as of this boot", zap.Error(err))
	}
	env.Booted = booted
	if p.Type == rdma.Type {
		// In a chain it has the same attachment and device as the plugin before it.
		env.Store, env.Kept = record.NewStore(filepath.Join(state, "rdma")), nil
	}
	// Only where somebody comes for it: see docs/design/cni.md.
	if env.Kept != nil && collected(state, time.Now()) {
		env.KeepFor = keepFor
	}
	return env
}

func (p program) add(ctx context.Context, env *plugin.Env, req plugin.Request) error {
	result, err := p.Add(ctx, env, req)
	if err != nil {
		return err
	}
	// Printed here and not by skel, in the version that the network's author wrote for.
	configVersion, err := (&version.ConfigDecoder{}).Decode(req.Config)
	if err != nil {
		return err
	}
	return types.PrintResult(result, configVersion)
}

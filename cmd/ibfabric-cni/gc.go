//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni"
	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/doctor"
	"github.com/ibfabric/ibfabric/cni/plugin"
)

// A VF whose pod could not be started only for want of the fabric keeps its GUID for
// keepFor, if gc ran within collectEvery. The sum is well below the ten minutes for which
// the controller holds a GUID that its pod has given back.
const (
	keepFor      = 3 * time.Minute
	collectEvery = doctor.GCEvery
)

// stateDir is the folder of records, under the node's root.
const stateDir = "var/lib/cni/ibfabric"

// mark is the file that the last gc touched, in the folder of records.
const mark = ".collected"

func collected(state string, now time.Time) bool {
	ago := lastGC(state, now)
	return ago.Err == nil && ago.Value >= 0 && ago.Value < collectEvery
}

// lastGC is how long ago gc ran, negative for never. A mark of the future says how far the
// clock was set back at least.
func lastGC(state string, now time.Time) node.Fact[time.Duration] {
	info, err := os.Stat(filepath.Join(state, mark))
	if errors.Is(err, fs.ErrNotExist) {
		return node.Fact[time.Duration]{Value: -1}
	}
	if err != nil {
		return node.Fact[time.Duration]{Err: err}
	}
	return node.Fact[time.Duration]{Value: now.Sub(info.ModTime()).Abs()}
}

const gcUsage = `ibfabric-cni gc puts back what no pod owns any more: VFs, their GUIDs and their addresses. An
attachment whose network namespace exists is left alone. Run it where the runtime's paths of
network namespaces are seen (/var/run/netns, or /run/netns), and on every node again and again.

  ibfabric-cni gc
  ibfabric-cni gc --every 1m

Flags:
`

// runGC is `ibfabric-cni gc`. What it does it logs to stderr.
func runGC(t tool, args []string, root string) int {
	fs := flag.NewFlagSet("gc", flag.ContinueOnError)
	every := fs.Duration("every", 0, "do it again and again with this `time` between, below "+collectEvery.String()+": while it runs, a VF keeps its GUID for a retry that the fabric was too slow for")
	if err := t.parse(fs, args, gcUsage); err != nil {
		return t.fail(2, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log, closeLog := newLogger(root, "all", "gc", &skel.CmdArgs{})
	defer closeLog()
	for {
		err := collect(ctx, log, root)
		switch {
		case *every <= 0 && err != nil:
			return t.fail(1, err)
		case err != nil:
			log.Error("gc failed", zap.Error(err))
		}
		if *every <= 0 || plugin.Sleep(ctx, *every) != nil {
			return 0
		}
	}
}

func collect(ctx context.Context, log *zap.Logger, root string) error {
	var errs []error
	state := filepath.Join(root, stateDir)
	// From the end of a chain, as a runtime would: the RDMA device before its netdev.
	plugins := cni.Plugins()
	for i := len(plugins) - 1; i >= 0; i-- {
		env := program{plugins[i], root}.env(log)
		if i > 0 && env.Store.Dir() == state {
			continue // the first plugin's round is for all that share the folder
		}
		errs = append(errs, plugin.Collect(ctx, env))
		if i == 0 {
			errs = append(errs, plugin.CollectIncumbents(ctx, env))
		}
	}
	errs = append(errs, os.MkdirAll(state, 0o700), os.WriteFile(filepath.Join(state, mark), nil, 0o600))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("collecting what no pod owns: %w", err)
	}
	return nil
}

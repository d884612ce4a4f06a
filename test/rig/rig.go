// Package rig is what the suites on the test bed have in common: a cluster that knows
// ibfabric's kinds, and ibfabric's programs, built once for all tests of a package.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// Controller is the program that most suites run.
const Controller = "cmd/ibfabric-controller"

// startTimeout bounds a build, with an empty build cache and the race detector too, and the
// start of a cluster on a busy machine.
const startTimeout = 15 * time.Minute

// Rig is a running cluster and the programs to run on it.
type Rig struct {
	Bed      *testbed.Cluster
	Launcher *programs.Launcher
	dir      string
}

// Start brings up a cluster with ibfabric's kinds, and builds the controller: with the race
// detector where IBFABRIC_RACE is set (the program's, not the test's).
func Start(ctx context.Context, opts ...testbed.Option) (*Rig, error) {
	dir, err := os.MkdirTemp("", "ibfabric-rig-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for a rig: %w", err)
	}
	r := &Rig{Launcher: programs.NewLauncher(), dir: dir}
	if err := r.start(ctx, opts); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context, opts []testbed.Option) (err error) {
	if err := programs.Build(ctx, r.dir, os.Getenv("IBFABRIC_RACE") != "", Controller); err != nil {
		return err
	}
	if r.Bed, err = testbed.Run(ctx, filepath.Join(r.dir, "bed"), opts...); err != nil {
		return err
	}
	return InstallKinds(ctx, r.Bed)
}

// Program is where a program was built.
func (r *Rig) Program() string { return filepath.Join(r.dir, filepath.Base(Controller)) }

// Stop ends the cluster and removes all that was built.
func (r *Rig) Stop() {
	if r.Bed != nil {
		r.Bed.Stop()
	}
	_ = os.RemoveAll(r.dir) // it is a temporary folder
}

// InstallKinds makes a cluster know NADs and ibfabric's own kinds.
func InstallKinds(ctx context.Context, bed *testbed.Cluster) error {
	if err := bed.InstallNADCRD(ctx); err != nil {
		return err
	}
	files, err := fs.Glob(deploy.CRDs, "crds/*.yaml")
	if err != nil {
		return fmt.Errorf("list ibfabric's CRDs: %w", err)
	}
	for _, name := range files {
		text, err := deploy.CRDs.ReadFile(name)
		if err == nil {
			err = bed.Apply(ctx, text)
		}
		if err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// Shared is a rig that all tests of a package use. It starts with the first that asks.
type Shared struct {
	// Bed says what cluster it is to be, and Prepare what else must be there.
	Bed     []testbed.Option
	Prepare func(context.Context, *Rig) error

	once sync.Once
	rig  *Rig
	err  error
}

// Main runs a package's tests, and stops the rig behind them: for TestMain.
func (s *Shared) Main(m *testing.M) int {
	ctrllog.SetLogger(logr.Discard()) // else it complains that nobody did, in whatever test fails first
	defer func() {
		if s.rig != nil {
			s.rig.Stop()
		}
	}()
	return m.Run()
}

// Rig is the package's. What fails at its start fails every test that asks.
func (s *Shared) Rig(t testing.TB) *Rig {
	t.Helper()
	s.once.Do(s.start)
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.rig
}

func (s *Shared) start() {
	s.err = errors.New("the rig was not started to its end") // should a panic cut it short
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if s.rig, s.err = Start(ctx, s.Bed...); s.err == nil && s.Prepare != nil {
		s.err = s.Prepare(ctx, s.rig)
	}
}

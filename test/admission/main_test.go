package admission

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// shared is what all tests use. They run one after the other: webhooks and policies are
// the cluster's.
var shared struct {
	once     sync.Once
	launcher *programs.Launcher
	bed      *testbed.Cluster
	program  string
	err      error
	stop     []func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(shared.stop) - 1; i >= 0; i-- {
		shared.stop[i]()
	}
	os.Exit(code)
}

const nodes = 100

func setUp() {
	dir, err := os.MkdirTemp("", "ibfabric-admission-")
	if err != nil {
		shared.err = err
		return
	}
	shared.stop = append(shared.stop, func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	shared.launcher, shared.program = programs.NewLauncher(), filepath.Join(dir, "ibfabric-controller")
	if shared.err = programs.Build(ctx, dir, os.Getenv("IBFABRIC_RACE") != "", "cmd/ibfabric-controller"); shared.err != nil {
		return
	}
	shared.bed, shared.err = testbed.Run(ctx, filepath.Join(dir, "bed"), testbed.WithScheduler(), testbed.WithNodes(nodes))
	if shared.err != nil {
		return
	}
	shared.stop = append(shared.stop, shared.bed.Stop)
	shared.err = errors.Join(shared.bed.InstallNADCRD(ctx), installCRDs(ctx, shared.bed))
}

func installCRDs(ctx context.Context, bed *testbed.Cluster) error {
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	c, err := client.New(bed.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	return controller.InstallCRDs(ctx, c, deploy.CRDs)
}

// stopWithin is what the controller needs at most to end by itself.
const stopWithin = programs.StopWithin

package takeover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/peers"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// nodeName is on every pod: ib-kubernetes serves none that is not scheduled.
const nodeName = "node-1"

// shared is what all tests use. They run one after the other: whoever finds
// ib-kubernetes looks for it in the whole cluster.
var shared struct {
	once     sync.Once
	launcher *programs.Launcher
	bed      *testbed.Cluster
	ibfabric string
	err      error
	stop     func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// setUp starts the cluster and builds the controller, once for all tests.
func setUp() {
	dir, err := os.MkdirTemp("", "ibfabric-takeover-")
	if err != nil {
		shared.err = err
		return
	}
	shared.launcher = programs.NewLauncher() // for as long as the tests run
	shared.stop = func() { _ = os.RemoveAll(dir) }
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	shared.ibfabric = filepath.Join(dir, "ibfabric-controller")
	race := os.Getenv("IBFABRIC_RACE") != ""
	if shared.err = programs.Build(ctx, dir, race, "cmd/ibfabric-controller"); shared.err != nil {
		return
	}
	if shared.bed, shared.err = testbed.Run(ctx, filepath.Join(dir, "bed")); shared.err != nil {
		return
	}
	shared.stop = func() { shared.bed.Stop(); _ = os.RemoveAll(dir) }
	shared.err = errors.Join(shared.bed.InstallNADCRD(ctx), installCRDs(ctx), shared.bed.CreateNode(ctx, nodeName))
}

func installCRDs(ctx context.Context) error {
	files, err := deploy.CRDs.ReadDir("crds")
	if err != nil {
		return fmt.Errorf("read ibfabric's CRDs: %w", err)
	}
	for _, f := range files {
		text, err := deploy.CRDs.ReadFile("crds/" + f.Name())
		if err == nil {
			err = shared.bed.Apply(ctx, text)
		}
		if err != nil {
			return fmt.Errorf("install ibfabric's CRDs: %w", err)
		}
	}
	return nil
}

// ibKubernetes is the peer, built.
func ibKubernetes(t *testing.T) *peers.IBKubernetes {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := peers.FindIBKubernetes(t.Context(), root)
	if errors.Is(err, peers.ErrNoCompiler) {
		t.Skipf("ib-kubernetes loads its UFM plugin with package plugin, which cannot be built here: %v", err)
	}
	if err == nil {
		err = peer.Build(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

package takeover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibfabric/ibfabric/test/peers"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
)

// nodeName is on every pod: ib-kubernetes serves none that is not scheduled.
const nodeName = "node-1"

// shared is the cluster of all tests here. They run one after the other: whoever finds
// ib-kubernetes looks for it in the whole cluster.
// The command is built beside the controller.
var shared = rig.Shared{Prepare: func(ctx context.Context, r *rig.Rig) error {
	return errors.Join(r.Bed.CreateNode(ctx, nodeName), programs.Build(ctx, filepath.Dir(r.Program()), false, "cmd/ibfabric"))
}}

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

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

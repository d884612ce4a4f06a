//go:build linux

package compat

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibfabric/ibfabric/test/rig"
)

// nodeName is on every pod, as on those that a kubelet has.
const nodeName = "node-1"

var shared = rig.Shared{Prepare: func(ctx context.Context, r *rig.Rig) error { return r.Bed.CreateNode(ctx, nodeName) }}

// TestMain runs the tests. The test program is a CNI plugin, too, and what starts Multus on
// a node: it is called so by the links in a node's CNI folder.
func TestMain(m *testing.M) {
	switch name, socket := filepath.Base(os.Args[0]), os.Getenv(nodeSocket); {
	case socket == "":
		os.Exit(shared.Main(m))
	case name == stageName:
		os.Exit(stage())
	default:
		os.Exit(forward(name, socket))
	}
}

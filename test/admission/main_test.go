package admission

import (
	"os"
	"testing"

	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const nodes = 100

// shared is what all tests use. They run one after the other: webhooks and policies are
// the cluster's.
var shared = rig.Shared{Bed: []testbed.Option{testbed.WithScheduler(), testbed.WithNodes(nodes)}}

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/ibfabric/ibfabric/test/programs"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "ibfabric-docs-")
	if err != nil {
		panic(err)
	}
	build = sync.OnceValues(func() (string, error) { return dir, buildInto(dir) })
	code := m.Run()
	_ = os.RemoveAll(dir) // it is a temporary folder
	os.Exit(code)
}

// build makes the programs when the first test asks for them.
var build func() (dir string, err error)

func buildInto(dir string) error {
	err := programs.Build(context.Background(), dir, false, "cmd/ibfabric", "cmd/ibfabric-cni", "cmd/ibfabric-controller", "cmd/ufm-sim")
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "-C", filepath.Join(root, "deploy/tools"), "build", "-o", dir+"/", "./ibfabric-chart")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build ibfabric-chart: %w\n%s", err, out)
	}
	return nil
}

// built is a folder with our programs, and the one that renders the chart.
func built(t *testing.T) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

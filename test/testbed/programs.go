package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

// NodePrograms are what a real node needs that the test bed can build, `go run
// ./test/testbed/build node`: the kubelet, Multus and the CNI plugins that come with it.
func NodePrograms() []string { return plan.OfNode() }

// Built is Programs, and builds first what is missing, which takes minutes.
func Built(ctx context.Context, names ...string) (map[string]string, error) {
	if paths, err := Programs(names...); err == nil {
		return paths, nil
	}
	// It says itself what it is doing, and for how long.
	build := exec.CommandContext(ctx, "go", append([]string{"run", "github.com/ibfabric/ibfabric/test/testbed/build"}, names...)...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building %s: %w", strings.Join(names, ", "), err)
	}
	return Programs(names...)
}

// Programs gives the paths of programs of the test bed's, by name; `go run
// ./test/testbed/build NAME` builds one.
func Programs(names ...string) (map[string]string, error) {
	control, err := plan.Load()
	if err != nil {
		return nil, err
	}
	node, err := plan.LoadNode()
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	var missing []string
	for _, name := range names {
		p := control
		if _, err := node.Program(name); err == nil {
			p = node
		}
		if len(plan.Missing(p.Dir, []string{name})) > 0 {
			missing = append(missing, name)
		}
		paths[name] = filepath.Join(p.Dir, name)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%[1]s not in the test bed: run `go run ./test/testbed/build %[1]s` first", strings.Join(missing, " "))
	}
	return paths, nil
}

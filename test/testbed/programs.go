package testbed

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

// NodePrograms are what a real node needs that the test bed can build, `go run
// ./test/testbed/build node`: the kubelet, Multus and the CNI plugins that come with it.
func NodePrograms() []string { return plan.OfNode() }

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

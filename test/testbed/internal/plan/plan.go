// Package plan says which programs the test bed needs, how each is built, and in which
// folder of the cache it lies. The build command and the test bed both ask it, so they
// always mean the same folder. It uses the standard library alone: the build command must
// start before anything else is compiled.
package plan

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Stages is the file beside kwok that tells it how nodes and pods come to life.
const Stages = "kwok.yaml"

// Default is what is built when nobody asks for less or more.
func Default() []string {
	return []string{"etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kwok"}
}

// OfNode is what a real node needs: the kubelet, Multus, and the CNI plugins of the pods' own
// network.
func OfNode() []string { return []string{"kubelet", "multus", "bridge", "loopback", "host-local"} }

// Program is one binary: Package, built inside the nested module Module (a folder of tools/).
type Program struct {
	Name, Module, Package, LDFlags string
}

// Flags are those of `go build`, without -o. They are part of the key.
func (p Program) Flags() []string {
	return []string{"-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", p.LDFlags}
}

// Plan is the programs of one state of the source tree.
type Plan struct {
	Tools    string // folder of the nested modules
	Dir      string // folder of the finished programs, outside the tree
	Programs []Program
}

// module is a nested module that pins the version of what is built in it.
type module struct{ folder, path string }

// Load finds the source tree around the working folder and reads the versions that the
// nested modules of the control plane, and of the kubelet, pin.
func Load() (Plan, error) {
	return load(programs, module{"k8s", "k8s.io/kubernetes"}, module{"etcd", "go.etcd.io/etcd/server/v3"}, module{"kwok", "sigs.k8s.io/kwok"})
}

// LoadNode does the same for what a node runs of others' beside its kubelet and runtime.
// These have a folder of their own, so that the control plane is not built anew for them.
func LoadNode() (Plan, error) {
	return load(nodePrograms, module{"multus", "gopkg.in/k8snetworkplumbingwg/multus-cni.v4"}, module{"cniplugins", "github.com/containernetworking/plugins"})
}

func load(programs func(versions map[string]string) []Program, modules ...module) (Plan, error) {
	tools, err := findTools()
	if err != nil {
		return Plan{}, err
	}
	mods, versions := map[string]string{}, map[string]string{}
	for _, m := range modules {
		file := filepath.Join(tools, m.folder, "go.mod")
		text, err := os.ReadFile(file)
		if err != nil {
			return Plan{}, fmt.Errorf("reading the versions of the test bed: %w", err)
		}
		mods[m.folder] = string(text)
		if versions[m.folder], err = required(mods[m.folder], m.path); err != nil {
			return Plan{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	p := Plan{Tools: tools, Programs: programs(versions)}
	root, err := cacheRoot()
	if err != nil {
		return Plan{}, err
	}
	p.Dir = filepath.Join(root, "testbed", p.key(modules, mods, versions))
	return p, nil
}

// Program gives the program of that name.
func (p Plan) Program(name string) (Program, error) {
	i := slices.IndexFunc(p.Programs, func(q Program) bool { return q.Name == name })
	if i < 0 {
		var names []string
		for _, q := range p.Programs {
			names = append(names, q.Name)
		}
		return Program{}, fmt.Errorf("no program %q in the test bed; there are %s", name, strings.Join(names, ", "))
	}
	return p.Programs[i], nil
}

// Missing lists the files of dir that the named programs still lack.
func Missing(dir string, names []string) []string {
	var missing []string
	for _, n := range names {
		for _, file := range Files(n) {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				missing = append(missing, file)
			}
		}
	}
	return missing
}

// Files are what the named program consists of in the cache.
func Files(name string) []string {
	if name == "kwok" {
		return []string{name, Stages}
	}
	return []string{name}
}

// key changes with every version and flag, so that a bump builds anew and a checkout of the
// older tree finds its own programs again.
func (p Plan) key(modules []module, mods, versions map[string]string) string {
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOOS, runtime.GOARCH)
	name := ""
	for _, m := range modules {
		fmt.Fprintln(h, mods[m.folder])
		name += m.folder + "-" + versions[m.folder] + "-"
	}
	for _, q := range p.Programs {
		fmt.Fprintln(h, q.Package, q.Flags())
	}
	return fmt.Sprintf("%s%x", name, h.Sum(nil)[:4])
}

func programs(versions map[string]string) []Program {
	out := []Program{
		{Name: "etcd", Module: "etcd", Package: "go.etcd.io/etcd/server/v3", LDFlags: "-s -w"},
		{Name: "kwok", Module: "kwok", Package: "sigs.k8s.io/kwok/cmd/kwok", LDFlags: "-s -w"},
	}
	for _, name := range []string{"kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kubectl"} {
		out = append(out, Program{Name: name, Module: "k8s", Package: "k8s.io/kubernetes/cmd/" + name, LDFlags: stamp(versions["k8s"])})
	}
	return out
}

func nodePrograms(map[string]string) []Program {
	out := []Program{{Name: "multus", Module: "multus", Package: "gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus", LDFlags: "-s -w"}}
	for _, name := range []string{"main/bridge", "main/loopback", "ipam/host-local"} {
		out = append(out, Program{Name: path.Base(name), Module: "cniplugins", Package: "github.com/containernetworking/plugins/plugins/" + name, LDFlags: "-s -w"})
	}
	return out
}

// stamp gives Kubernetes' programs their version: without it they call themselves
// v0.0.0-master, and clients that look at the version go wrong.
func stamp(version string) string {
	number := strings.Split(strings.TrimPrefix(version, "v"), ".")
	flags := "-s -w"
	for _, kv := range []string{
		"gitVersion=" + version, "gitMajor=" + number[0], "gitMinor=" + number[1],
		"gitTreeState=clean", "buildDate=1970-01-01T00:00:00Z",
	} {
		flags += " -X k8s.io/component-base/version." + kv
	}
	return flags
}

func required(mod, name string) (string, error) {
	m := regexp.MustCompile(`(?m)^(?:require|)\s*` + regexp.QuoteMeta(name) + ` (v\d+\.\d+\.\d+\S*)`).FindStringSubmatch(mod)
	if m == nil {
		return "", fmt.Errorf("requires no version of %s; add it with go get", name)
	}
	return m[1], nil
}

// findTools looks upwards from the working folder, which for a test is inside the tree. The
// place where this file was compiled serves a test that has changed its working folder.
func findTools() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			tools := filepath.Join(dir, "test", "testbed", "tools")
			if _, err := os.Stat(filepath.Join(tools, "k8s", "go.mod")); err == nil {
				return tools, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("test/testbed/tools not found; run inside the source tree of ibfabric")
}

func cacheRoot() (string, error) {
	if dir := os.Getenv("IBFABRIC_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) { // a relative one is to be ignored, says its specification
		return filepath.Join(dir, "ibfabric"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: set IBFABRIC_CACHE: %w", err)
	}
	return filepath.Join(home, ".cache", "ibfabric"), nil
}

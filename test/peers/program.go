package peers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Program is a program of a peer, and files of its module that go with it. A nested module,
// whose folder is named after the peer, pins the version.
type Program struct {
	Version string // as v0.9.3
	Dir     string // in the cache; there when it is built

	name, pkg, module string
	nested            string   // folder of the nested module
	files             []string // of the peer's module: folders
}

// Whereabouts is the IPAM plugin; its CRDs lie in doc/crds.
func Whereabouts(ctx context.Context, root string) (*Program, error) {
	const module = "github.com/k8snetworkplumbingwg/whereabouts"
	return find(ctx, root, Program{name: "whereabouts", module: module, pkg: module + "/cmd", files: []string{"doc/crds"}})
}

// SRIOVNetworkOperator is a program around the operator's own renderer: it reads
// SriovIBNetworks and SriovNetworks as YAML, and writes what the operator makes of them. Its
// argument is the folder bindata/manifests/cni-config of Dir.
func SRIOVNetworkOperator(ctx context.Context, root string) (*Program, error) {
	return find(ctx, root, Program{
		name: "sriov-network-operator", module: "github.com/k8snetworkplumbingwg/sriov-network-operator", pkg: ".",
		files: []string{"bindata/manifests/cni-config"},
	})
}

// find says where a program lies, or will when it is built. root is the folder of this module.
func find(ctx context.Context, root string, p Program) (*Program, error) {
	p.nested = filepath.Join(root, "test", "peers", p.name)
	var err error
	if p.Version, err = Version(p.nested, p.module); err != nil {
		return nil, err
	}
	compiler, err := goTool(ctx, p.nested, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	cache, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	key := sha256.New()
	fmt.Fprintln(key, compiler, runtime.GOOS, runtime.GOARCH, p.flags(), p.files)
	err = filepath.WalkDir(p.nested, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		fmt.Fprintf(key, "%s %d\n%s", file[len(p.nested):], len(text), text)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.Dir = filepath.Join(cache, "peers", fmt.Sprintf("%s-%s-%x", p.name, p.Version, key.Sum(nil)[:4]))
	return &p, nil
}

// Path is the program's.
func (p *Program) Path() string { return filepath.Join(p.Dir, p.name) }

// Build puts the program into the cache, which takes minutes; it does nothing when it is
// there.
func (p *Program) Build(ctx context.Context) error {
	return publish(p.Dir, func(temp string) error {
		args := append(p.flags(), "-o", filepath.Join(temp, p.name), p.pkg)
		if _, err := goTool(ctx, p.nested, append([]string{"build"}, args...)...); err != nil {
			return err
		}
		from, err := source(ctx, p.nested, p.module)
		for _, folder := range p.files {
			err = errors.Join(err, os.CopyFS(filepath.Join(temp, folder), os.DirFS(filepath.Join(from, folder))))
		}
		return err
	})
}

func (p *Program) flags() []string {
	return []string{"-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w"}
}

package install

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Program is the import path that our binary carries in itself.
const Program = "github.com/ibfabric/ibfabric/cmd/ibfabric-cni"

// Names are the plugins that one binary can be, by the name it is called with.
func Names() []string { return []string{"ib-sriov", "sriov", "rdma"} }

// Owner says whose file stands under a name.
type Owner string

const (
	Missing Owner = "missing"
	Ours    Owner = "ours"
	Foreign Owner = "foreign"
)

// Binary is a file in the CNI bin directory.
type Binary struct {
	Name    string
	Owner   Owner
	Program string // the import path of its main package, "" when it is no Go program
	Version string // of its module, "" when unknown
}

// String is what a person calls it: "ib-sriov-cni v1.3.0".
func (b Binary) String() string {
	name := b.Program
	switch {
	case b.Owner == Missing:
		return "missing"
	case b.Owner == Ours:
		name = "ibfabric"
	case name == "":
		return "a file of unknown origin"
	default:
		name = shortProgram(name)
	}
	if b.Version == "" {
		return name
	}
	return name + " " + b.Version
}

// shortProgram is the repository of a program on GitHub, else the last part of its path:
// the main packages of the peers are all called as their plugin is.
func shortProgram(program string) string {
	if parts := strings.Split(program, "/"); len(parts) > 2 && parts[0] == "github.com" {
		return parts[2]
	}
	return path.Base(program)
}

// Look reads whose file stands under name in dir. Go programs carry their import path and
// version, also when they are stripped.
func Look(dir, name string) (Binary, error) {
	b := Binary{Name: name, Owner: Foreign}
	file := filepath.Join(dir, name)
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.Owner = Missing // a link to nothing, too: no runtime can call it
		return b, nil
	case err != nil:
		return b, fmt.Errorf("looking at CNI plugin %s: %w", file, err)
	case !info.Mode().IsRegular():
		return b, fmt.Errorf("CNI plugin %s is a %s, want a file: remove it", file, info.Mode().Type())
	}
	f, err := os.Open(file)
	if err != nil {
		return b, fmt.Errorf("looking at CNI plugin %s: %w", file, err)
	}
	defer f.Close()
	build, err := buildinfo.Read(f)
	if err != nil {
		return b, nil // a script, or a program in another language
	}
	b.Program, b.Version = build.Path, build.Main.Version
	if b.Program == Program {
		b.Owner = Ours
	}
	return b, nil
}

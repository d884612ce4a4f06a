// Package test holds what is true of the project as a whole.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/ibfabric/ibfabric/"

// TestImportsPointOneWay keeps the layering: who may import whom among our own packages,
// and what must stay out of which. Tests may import what they like.
func TestImportsPointOneWay(t *testing.T) {
	may := map[string][]string{
		"guid":                    {},
		"pkey":                    {"guid"},
		"ufm":                     {"guid", "pkey"},
		"ufm/ufmsim":              {"guid", "pkey"},
		"ufm/ufmsim/opensm":       {"guid", "pkey", "ufm/ufmsim"},
		"controller/api/v1alpha1": {"guid", "pkey"},
		"deploy":                  {},
	}
	keepOut := map[string][]string{
		"guid":       {"k8s.io/", "go.uber.org/", "github.com/"},
		"pkey":       {"k8s.io/", "go.uber.org/"},
		"ufm":        {"k8s.io/"},
		"ufm/ufmsim": {"k8s.io/"},

		"ufm/ufmsim/opensm": {"k8s.io/"},
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, dep := range p.Deps {
			own, isOwn := strings.CutPrefix(dep, module)
			if isOwn && !allowed(name, own, may) {
				t.Errorf("%s imports %s", name, own)
			}
			for _, prefix := range keepOut[name] {
				if !isOwn && strings.HasPrefix(dep, prefix) {
					t.Errorf("%s imports %s", name, dep)
				}
			}
		}
	}
}

// allowed says whether a package may depend on another of ours.
func allowed(name, own string, may map[string][]string) bool {
	if list, strict := may[name]; strict {
		for _, ok := range list {
			if own == ok {
				return true
			}
		}
		return false
	}
	switch top := strings.Split(name, "/")[0]; top {
	case "controller": // and what it is made of; never ufm. The console stands above and looks in.
		return name == "controller/console" && own == "controller" || own == "guid" || own == "pkey" || strings.HasPrefix(own, "controller/")
	case "cni": // and what it is made of; never the controller's side
		return own == "guid" || own == "pkey" || own == "cni" || strings.HasPrefix(own, "cni/")
	case "cmd", "test":
		return true
	default:
		return false
	}
}

type pkg struct {
	ImportPath string
	Deps       []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Deps", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			list = append(list, p)
		}
	}
}

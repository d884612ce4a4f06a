package plan

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestFolderFollowsTheSettingsInTheirOrder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, env := range []struct{ name, value, want string }{
		{"XDG_CACHE_HOME", "", filepath.Join(home, ".cache", "ibfabric")},
		{"XDG_CACHE_HOME", "relative", filepath.Join(home, ".cache", "ibfabric")},
		{"XDG_CACHE_HOME", "/xdg", "/xdg/ibfabric"},
		{"IBFABRIC_CACHE", "/mine", "/mine"},
	} {
		t.Setenv(env.name, env.value)
		p, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		if got := filepath.Dir(filepath.Dir(p.Dir)); got != env.want {
			t.Errorf("with %s=%q the cache is %s, want %s", env.name, env.value, got, env.want)
		}
	}
}

func TestEveryDefaultProgramIsKnown(t *testing.T) {
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Default() {
		if _, err := p.Program(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Program("kubeadm"); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("an unknown program gives %v; want an error that lists the known", err)
	}
}

func TestANodesProgramsHaveAFolderOfTheirOwn(t *testing.T) {
	control, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	node, err := LoadNode()
	if err != nil {
		t.Fatal(err)
	}
	if control.Dir == node.Dir {
		t.Errorf("both are in %s", node.Dir)
	}
	if _, err := node.Program("multus"); err != nil {
		t.Error(err)
	}
}

func TestVersionBumpChangesTheFolder(t *testing.T) {
	p := Plan{Programs: programs(map[string]string{"k8s": "v1.36.3"})}
	modules := []module{{folder: "k8s"}, {folder: "etcd"}, {folder: "kwok"}}
	mods := map[string]string{"k8s": "a", "etcd": "b", "kwok": "c"}
	before := p.key(modules, mods, nil)
	mods["kwok"] = "c, edited"
	if after := p.key(modules, mods, nil); after == before {
		t.Errorf("the key stays %s though a module changed", before)
	}
}

func TestRequiredReadsBothFormsOfRequire(t *testing.T) {
	for _, mod := range []string{
		"module m\nrequire sigs.k8s.io/kwok v0.8.0\n",
		"module m\nrequire (\n\tsigs.k8s.io/kwok-other v0.1.0\n\tsigs.k8s.io/kwok v0.8.0 // indirect\n)\n",
	} {
		if v, err := required(mod, "sigs.k8s.io/kwok"); v != "v0.8.0" || err != nil {
			t.Errorf("required gives %q, %v from %q", v, err, mod)
		}
	}
	if v, err := required("module sigs.k8s.io/kwok\n", "sigs.k8s.io/kwok"); err == nil {
		t.Errorf("required gives %q where nothing is required", v)
	}
}

package doctor

import (
	"testing"

	"github.com/ibfabric/ibfabric/cni/node"
	"github.com/ibfabric/ibfabric/cni/node/install"
	"github.com/ibfabric/ibfabric/cni/node/nodefake"
)

const (
	pf     = "0000:17:00.0"
	port   = "sys/bus/pci/devices/0000:17:00.0/infiniband/mlx5_0/ports/1/"
	second = "0000:86:00.0"
)

// patient is a fake node with its plugins and networks, so far all in order.
type patient struct {
	*nodefake.Node
	plugins []node.Fact[install.Binary]
	want    Want
}

func (p *patient) examine() Report {
	return Examine(Node{Facts: p.Look(), CNIDir: "/opt/cni/bin", Plugins: p.plugins, Version: "v1.2.0"}, p.want)
}

func (p *patient) reads(t *testing.T, network string) {
	t.Helper()
	if err := p.want.Read([]byte(network)); err != nil {
		t.Fatal(err)
	}
}

func (p *patient) plugin(i int, owner install.Owner, program, version string) {
	p.plugins[i].Value = install.Binary{Name: install.Names()[i], Owner: owner, Program: program, Version: version}
}

func newPatient(n *nodefake.Node) *patient {
	p := &patient{Node: n, plugins: make([]node.Fact[install.Binary], 3)}
	for i := range p.plugins {
		p.plugin(i, install.Ours, install.Program, "v1.2.0")
	}
	return p
}

func infiniBand(t *testing.T) *patient {
	p := newPatient(nodefake.InfiniBand(t))
	p.reads(t, `{"type":"ib-sriov","rdmaIsolation":true}`)
	return p
}

func roce(t *testing.T) *patient {
	p := newPatient(nodefake.RoCE(t))
	p.reads(t, `{"type":"sriov"}`)
	return p
}

// mends lists the checks that something is to be mended for.
func mends(r Report) (names []string) {
	for _, row := range r.Rows {
		if row.State == Mend {
			names = append(names, row.Check)
		}
	}
	return names
}

// find is the first row of a check.
func find(t *testing.T, r Report, check string) Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Check == check {
			return row
		}
	}
	t.Fatalf("no row %q in\n%s", check, r.Table(false))
	return Row{}
}

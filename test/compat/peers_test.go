//go:build linux

package compat

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/test/peers"
)

// row is one promise about a peer, and the play that keeps it.
type row struct {
	peer peer
	what string // as a sentence's beginning in the table
	file string // where the play is
	play func(*testing.T, *world)
	// lacking says why the play needs PEER_DIR; "" when it does not. CI has no such folder.
	lacking string
}

// peer is another's program and the version that is run.
type peer struct {
	name string
	pin  string // folder whose go.mod has it, from the module's own; "" when nothing is built
	path string // its module
	as   string // what is said in place of a version
}

func (p peer) version(t *testing.T) string {
	t.Helper()
	if p.pin == "" {
		return p.as
	}
	v, err := peers.Version(filepath.Join(root(t), p.pin), p.path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rows() []row {
	var all []row
	for _, list := range [][]row{multusRows(), ibKubernetesRows(), ibSriovCNIRows(), operatorRows(), spiderpoolRows(), ipamRows()} {
		all = append(all, list...)
	}
	return all
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPeers plays all rows, and holds the page against what became of them.
func TestPeers(t *testing.T) {
	w := newWorld(t)
	page, complete := newPage(), true
	for _, r := range rows() {
		played, skipped := false, false
		ok := t.Run(r.peer.name+"/"+r.what, func(t *testing.T) {
			played = true
			defer func() { skipped = t.Skipped() }()
			w.t = t
			r.play(t, w)
		})
		if !played || skipped && r.lacking == "" { // another -run, or a machine that cannot
			complete = false
		}
		page.add(t, r, ok)
	}
	w.t = t
	switch {
	case t.Failed():
	case !complete:
		t.Log("not every row was played: docs/compatibility.md is not compared")
	default:
		page.compare(t)
	}
}

func TestARowsNameIsOneLineOfTheTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		name := fmt.Sprint(r.peer.name, r.what)
		if seen[name] || strings.ContainsAny(name, "|\n") {
			t.Errorf("%q is there twice, or breaks the table", name)
		}
		seen[name] = true
	}
}

//go:build linux

package compat

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/compatibility.md from this run")

// pageFile has prose by hand, and between these two lines the table.
const (
	pageFile  = "docs/compatibility.md"
	tableHead = "<!-- Made by go test ./test/compat -update; do not edit to the next such line. -->\n"
	tableTail = "<!-- End of the table. -->\n"
)

type page struct{ table strings.Builder }

func newPage() *page {
	p := &page{}
	p.table.WriteString("\n| peer | version | what was run | result | test |\n|---|---|---|---|---|\n")
	return p
}

func (p *page) add(t *testing.T, r row, ok bool) {
	t.Helper()
	result := "holds"
	switch {
	case !ok:
		result = "**fails**"
	case r.lacking != "":
		result = "with `PEER_DIR` alone: " + r.lacking
	}
	if _, err := os.Stat(r.file); err != nil {
		t.Errorf("%s %s: %v", r.peer.name, r.what, err)
	}
	fmt.Fprintf(&p.table, "| %s | %s | %s | %s | [%s](../test/compat/%s) |\n", r.peer.name, r.peer.version(t), r.what, result, strings.TrimSuffix(r.file, "_test.go"), r.file)
}

func (p *page) compare(t *testing.T) {
	t.Helper()
	file := filepath.Join(root(t), pageFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableHead)
	_, after, ok2 := strings.Cut(rest, tableTail)
	if !ok || !ok2 {
		t.Fatalf("%s has not both lines %q and %q", pageFile, tableHead, tableTail)
	}
	want := before + tableHead + p.table.String() + "\n" + tableTail + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), want); diff != "" {
		t.Errorf("%s is not what this run says; run with -update (-page +run):\n%s", pageFile, diff)
	}
}

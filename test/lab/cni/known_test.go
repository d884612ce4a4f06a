//go:build linux

package cni

import (
	"os"
	"strings"
	"testing"
)

// A bug is one of the product's that the lab has shown and that is not mended yet.
type bug struct {
	tests  []string // names of facts and stories
	kernel string   // a release's beginning; empty: all
	what   string
}

// bugs are none now. One is written down as
//
//	{tests: []string{"the story's name"}, kernel: "7.", what: "cni/host moveRDMA: what it does wrong"}
func bugs() []bug { return nil }

// skipKnown skips what fails by a known bug; IBFABRIC_LAB_KNOWN=1 runs it, to see it fail
// or to see it mended.
func skipKnown(t *testing.T, name string) {
	t.Helper()
	uname, err := release()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs() {
		for _, test := range b.tests {
			if test == name && strings.HasPrefix(uname, b.kernel) && os.Getenv("IBFABRIC_LAB_KNOWN") == "" {
				t.Skipf("SKIPPED, a known bug: %s", b.what)
			}
		}
	}
}

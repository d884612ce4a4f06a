//go:build linux

package lab

import (
	"errors"
	"os"
	"testing"

	"github.com/ibfabric/ibfabric/test/lab/guest"
)

// TestTheModuleBuildsForEachKernel is for every generation that nodes have: Debian's
// oldest, its stable one, and the newest that it packages.
func TestTheModuleBuildsForEachKernel(t *testing.T) {
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: the lab fetches kernels and QEMU and runs for minutes; make lab runs it (IBFABRIC_LAB=1)")
	}
	source, err := Fakeib()
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{"6.1", "6.12", "7"} {
		t.Run(series, func(t *testing.T) {
			m, err := guest.Prepare(t.Context(), guest.Config{
				Kernel: series, Module: source, Name: "fakeib", Log: func(line string) { t.Log(line) },
				Modules: []string{"ib_uverbs", "rdma_ucm", "ib_umad", "ib_ipoib"},
			})
			if errors.Is(err, guest.ErrUnavailable) {
				t.Skipf("SKIPPED: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("built for %s", m.Release)
		})
	}
}

//go:build linux

package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/test/lab"
	"github.com/ibfabric/ibfabric/test/lab/guest"
)

// series are a kernel that makes IPoIB netdevs in the host's namespace, and one that
// makes them in the pod's.
func series() []string {
	if chosen := os.Getenv("IBFABRIC_LAB_KERNELS"); chosen != "" {
		return strings.Fields(chosen)
	}
	return []string{"6.12", "7"}
}

// TestOnRealKernels boots a guest for each kernel and runs the tests that need one.
func TestOnRealKernels(t *testing.T) {
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: the lab fetches kernels and QEMU and runs for minutes; make lab runs it (IBFABRIC_LAB=1)")
	}
	binary := filepath.Join(t.TempDir(), "cni.test")
	if err := guest.Compile(t.Context(), binary, "test", "-c", "."); err != nil {
		t.Fatal(err)
	}
	for _, kernel := range series() {
		t.Run("kernel "+kernel, func(t *testing.T) {
			list := runInside(t, machine(t, kernel), binary)
			for _, o := range list {
				t.Run(o.Name, func(t *testing.T) {
					switch o.Result {
					case skip:
						t.Skip("skipped in the guest; its output says why")
					case fail:
						t.Error("failed in the guest; its output is above")
					}
				})
			}
			fmt.Println(table("kernel "+kernel, list))
		})
	}
}

func machine(t *testing.T, kernel string) *guest.Machine {
	t.Helper()
	source, err := lab.Fakeib()
	if err != nil {
		t.Fatal(err)
	}
	m, err := guest.Prepare(t.Context(), guest.Config{
		Kernel: kernel, Module: source, Name: "fakeib", Log: func(line string) { fmt.Println(line) },
		Modules: []string{"veth", "ib_uverbs", "rdma_ucm", "ib_umad", "ib_ipoib"},
	})
	if errors.Is(err, guest.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func runInside(t *testing.T, m *guest.Machine, binary string) (list []outcome) {
	t.Helper()
	deadline := 50 * time.Minute
	args := []string{"-test.run", "TestInside/(" + os.Getenv("IBFABRIC_LAB_RUN") + ")", "-test.v", "-test.timeout", (deadline - time.Minute).String()}
	result, err := m.Run(t.Context(), guest.Program{
		Binary: binary, Args: args, Env: []string{inside + "=1", "IBFABRIC_LAB_KNOWN=" + os.Getenv("IBFABRIC_LAB_KNOWN")},
		Cards: 3, ModuleArgs: "eth=4", Deadline: deadline, Output: os.Stdout,
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := result.Files[outcomes]; len(text) > 0 {
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatalf("reading the guest's outcomes: %v", err)
		}
	}
	t.Logf("booted in %v, all in %v", result.Boot.Round(time.Second), result.Took.Round(time.Second))
	if result.ExitCode != 0 {
		t.Errorf("the tests in the guest ended with %d", result.ExitCode)
	}
	return list
}

// table is for a person who wants to know what was played and how long it took.
func table(title string, list []outcome) string {
	var b strings.Builder
	var total time.Duration
	count := map[string]int{}
	fmt.Fprintf(&b, "\n%s\n", title)
	for _, o := range list {
		fmt.Fprintf(&b, "  %-4s %7.1fs  %s\n", o.Result, o.Took.Seconds(), o.Name)
		total += o.Took
		count[o.Result]++
	}
	fmt.Fprintf(&b, "  %d passed, %d failed, %d skipped in %v\n", count[pass], count[fail], count[skip], total.Round(time.Second))
	return b.String()
}

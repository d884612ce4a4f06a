//go:build linux

package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/test/lab"
	"github.com/ibfabric/ibfabric/test/lab/guest"
	"github.com/ibfabric/ibfabric/test/peers"
	"github.com/ibfabric/ibfabric/test/programs"
)

// series are a kernel that makes IPoIB netdevs in the host's namespace, and one that
// makes them in the pod's.
func series() []string {
	if chosen := os.Getenv("IBFABRIC_LAB_KERNELS"); chosen != "" {
		return strings.Fields(chosen)
	}
	return []string{"6.12", "7"}
}

func needsLab(t *testing.T) {
	t.Helper()
	if os.Getenv("IBFABRIC_LAB") == "" {
		t.Skip("SKIPPED: the lab fetches kernels and QEMU and runs for minutes; make lab runs it (IBFABRIC_LAB=1)")
	}
}

// TestOnRealKernels boots a guest for each kernel and plays there what RUN says: facts and
// stories in process, and plugins as programs: ours as it is shipped, rdma-cni, and
// whatever lies in PEER_DIR under its CNI type.
func TestOnRealKernels(t *testing.T) {
	needsLab(t)
	dir := t.TempDir()
	plugins := sync.OnceValues(func() (map[string]string, error) { return plugins(t.Context(), dir) })
	for _, kernel := range series() {
		t.Run("kernel "+kernel, func(t *testing.T) {
			t.Parallel()
			m := machine(t, kernel) // where there is none, nothing need be built
			files, err := plugins()
			must(t, err)
			left := runStories(t, m, guest.Program{
				Args: []string{"-test.run", "TestInsideStories"}, Files: files, Output: said(kernel), Env: selection(),
			})
			var cells []json.RawMessage
			if text := left[storyCells]; len(text) > 0 {
				must(t, json.Unmarshal(text, &cells))
			}
			for _, cell := range cells {
				t.Logf("plugin story: %s", cell) // test/lab/report reads it
			}
		})
	}
}

// said shows what a guest says, which goes on beside others.
func said(kernel string) io.Writer {
	return writer(func(line []byte) (int, error) {
		_, err := fmt.Printf("%4s| %s", kernel, line)
		return len(line), err
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

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

// deadline is of a guest, boot and all; everything takes half an hour on a busy machine.
const deadline = 100 * time.Minute

// runStories runs this binary in a guest with two InfiniBand cards and a RoCE one, and
// makes a subtest of each story that was played there. It returns the guest's files.
func runStories(t *testing.T, m *guest.Machine, p guest.Program) map[string][]byte {
	t.Helper()
	p.Binary = filepath.Join(t.TempDir(), "cni.test")
	if err := guest.Compile(t.Context(), p.Binary, "test", "-c", "."); err != nil {
		t.Fatal(err)
	}
	p.Args = append(p.Args, "-test.v", "-test.timeout", (deadline - time.Minute).String())
	p.Env = append(p.Env, inside+"=1", "IBFABRIC_LAB_KNOWN="+os.Getenv("IBFABRIC_LAB_KNOWN"))
	p.Cards, p.ModuleArgs, p.Deadline = 3, "eth=4 pkeys=16", deadline
	result, err := m.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var list []outcome
	if text := result.Files[outcomes]; len(text) > 0 {
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatalf("reading the guest's outcomes: %v", err)
		}
	}
	for _, o := range list {
		t.Run(o.Name, func(t *testing.T) {
			t.Logf("took %.1f s in the guest", o.Took.Seconds()) // test/lab/report reads it
			switch o.Result {
			case skip:
				t.Skip("SKIPPED: in the guest, whose output says why")
			case fail:
				t.Error("failed in the guest; its output is above")
			}
		})
	}
	t.Logf("kernel %s: booted in %v, all in %v, %v of CPU time", m.Release, result.Boot.Round(time.Second), result.Took.Round(time.Second), result.CPU.Round(time.Second))
	if result.ExitCode != 0 {
		t.Errorf("the tests in the guest ended with %d", result.ExitCode)
	}
	return result.Files
}

// ours is whose plugin it is that the others are compared with.
const ours = "ibfabric"

// plugins are programs of this machine's, by their place in the guest.
func plugins(ctx context.Context, dir string) (map[string]string, error) {
	files := map[string]string{}
	program, err := ourPlugins(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, kind := range kinds() {
		files[filepath.Join(pluginDir, ours, kind)] = program
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		return nil, err
	}
	rdma := filepath.Join(dir, "rdma")
	version, err := peers.BuildRDMACNI(ctx, root, rdma)
	if err != nil {
		return nil, err
	}
	files[filepath.Join(pluginDir, "rdma-cni "+version, "rdma")] = rdma
	if dir := os.Getenv("IBFABRIC_LAB_PEER_DIR"); dir != "" {
		err = addPeers(dir, files)
	}
	return files, err
}

// ourPlugins builds the program that is all plugins of ibfabric.
func ourPlugins(ctx context.Context, dir string) (file string, err error) {
	return filepath.Join(dir, "ibfabric-cni"), programs.Build(ctx, dir, false, "cmd/ibfabric-cni")
}

package install

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// What else runs while plugins are installed.

// The test program is a plugin that waits on stdin when this is set.
const beAPlugin = "IBFABRIC_INSTALL_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(beAPlugin) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestARunningPluginIsReplacedAndRunsOn(t *testing.T) {
	b := newBin(t)
	b.Look, b.Foreign = Look, Replace
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b.Source = self
	b.Names = []string{"ib-sriov"}
	b.lines(b.Install)

	cmd := exec.CommandContext(t.Context(), b.path("ib-sriov"))
	cmd.Env = append(os.Environ(), beAPlugin+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The test would be empty if the kernel let one write into a running program.
	if _, err := os.OpenFile(b.path("ib-sriov"), os.O_WRONLY, 0); err == nil {
		t.Error("the program does not run")
	}
	b.version("v2")
	if got := b.lines(b.Install); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if text, err := os.ReadFile(b.path("ib-sriov")); err != nil || string(text) != "ours v2" {
		t.Errorf("%.20q, %v", text, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the running one: %v", err)
	}
}

func TestWhatAKilledInstallerLeftGoes(t *testing.T) {
	b := newBin(t)
	b.foreign(besidePrefix+"123", "half of o")
	b.lines(b.Install)
	b.has(four("ours v1"))
	if left, _ := filepath.Glob(b.path(besidePrefix + "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTwoInstallersTakeTurns(t *testing.T) {
	b := newBin(t)
	b.lines(b.Install)
	other := flock.New(b.kept("lock"))
	if locked, err := other.TryLock(); !locked || err != nil {
		t.Fatal(locked, err)
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if changes, err := b.Install(soon()); err != nil || changes != nil {
		t.Errorf("with nothing to do it waits for nobody: %v, %v", changes, err)
	}
	if _, err := b.version("v2").Install(soon()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; it did not wait", err)
	}
	b.has(four("ours v1"))
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
	b.lines(b.Install)
}

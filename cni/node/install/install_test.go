package install

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"
)

// The test program is a plugin that waits on stdin when this is set.
const beAPlugin = "IBFABRIC_INSTALL_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(beAPlugin) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// lookAtText takes the first line of a file for what the linker writes into programs:
// "ours v2" or "sriov-cni v2.10.0".
func lookAtText(dir, name string) (Binary, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Binary{Name: name, Owner: Missing}, nil
	}
	line, _, _ := strings.Cut(string(text), "\n")
	program, version, _ := strings.Cut(line, " ")
	owner := Foreign
	if program == "ours" {
		owner = Ours
	}
	return Binary{Name: name, Owner: owner, Program: program, Version: version}, err
}

// bin is a CNI bin directory that versions are installed into.
type bin struct {
	*testing.T
	Installer
}

func newBin(t *testing.T) *bin {
	b := &bin{t, Installer{Dir: t.TempDir(), Names: Names(), Foreign: Refuse, Look: lookAtText}}
	return b.version("v1")
}

func (b *bin) version(v string) *bin {
	b.Source = filepath.Join(b.TempDir(), Self)
	b.write(b.Source, "ours "+v)
	return b
}

func (b *bin) write(path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bin) foreign(name, text string) { b.write(b.path(name), text) }

// lines calls Install or Restore.
func (b *bin) lines(act func(context.Context) ([]Change, error)) (lines []string) {
	b.Helper()
	changes, err := act(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range changes {
		lines = append(lines, strings.ReplaceAll(c.String(), b.Dir, "DIR"))
	}
	return lines
}

// has fails unless the directory shows exactly these files with these contents.
func (b *bin) has(want map[string]string) {
	b.Helper()
	got := map[string]string{}
	for _, pattern := range []string{"*", keptDir + "/*"} {
		files, err := fs.Glob(os.DirFS(b.Dir), pattern)
		if err != nil {
			b.Fatal(err)
		}
		for _, file := range files {
			if file == keptDir || file == keptDir+"/lock" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(b.Dir, file))
			if err != nil {
				b.Fatal(err)
			}
			got[file] = string(text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

func four(text string) map[string]string {
	return map[string]string{"ib-sriov": text, "sriov": text, "rdma": text, Self: text}
}

func with(m map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func TestAnEmptyDirectoryGetsEveryNameAndTheSecondCallChangesNothing(t *testing.T) {
	b := newBin(t)
	want := []string{"ib-sriov: ibfabric v1, was missing", "sriov: ibfabric v1, was missing", "rdma: ibfabric v1, was missing", "ibfabric-cni: ibfabric v1, was missing"}
	if diff := cmp.Diff(want, b.lines(b.Install)); diff != "" {
		t.Error(diff)
	}
	b.has(four("ours v1"))
	for name := range four("") {
		info, err := os.Lstat(b.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o755 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	before, _ := os.Stat(b.path("sriov"))
	if again := b.lines(b.Install); again != nil {
		t.Errorf("the second call: %v", again)
	}
	if after, _ := os.Stat(b.path("sriov")); !os.SameFile(before, after) {
		t.Error("the second call wrote the file again")
	}
}

func TestANewVersionKeepsTheFormerOneForRestore(t *testing.T) {
	b := newBin(t)
	b.Names = []string{"ib-sriov"}
	b.lines(b.Install)
	want := []string{"ib-sriov: ibfabric v2, was ibfabric v1, kept as DIR/" + keptDir + "/ib-sriov", "ibfabric-cni: ibfabric v2, was ibfabric v1, kept as DIR/" + keptDir + "/ibfabric-cni"}
	if diff := cmp.Diff(want, b.version("v2").lines(b.Install)); diff != "" {
		t.Error(diff)
	}
	b.lines(b.Install) // as an init container that starts again
	kept := []string{keptDir + "/ib-sriov", "ours v1", keptDir + "/" + Self, "ours v1"}
	b.has(with(map[string]string{"ib-sriov": "ours v2", Self: "ours v2"}, kept...))

	if diff := cmp.Diff([]string{"ib-sriov: ibfabric v1, was ibfabric v2", "ibfabric-cni: ibfabric v1, was ibfabric v2"}, b.lines(b.Restore)); diff != "" {
		t.Error(diff)
	}
	b.has(map[string]string{"ib-sriov": "ours v1", Self: "ours v1"})
	if again := b.lines(b.Restore); again != nil {
		t.Errorf("the second Restore: %v", again)
	}
}

func TestOnlyOneGenerationIsKept(t *testing.T) {
	b := newBin(t)
	for _, v := range []string{"v1", "v2", "v3"} {
		b.version(v).lines(b.Install)
	}
	b.has(with(four("ours v3"), keptDir+"/ib-sriov", "ours v2", keptDir+"/sriov", "ours v2", keptDir+"/rdma", "ours v2", keptDir+"/"+Self, "ours v2"))
}

func TestAForeignPluginStopsEverythingUnlessToldOtherwise(t *testing.T) {
	b := newBin(t)
	b.foreign("sriov", "sriov-cni v2.10.0")
	b.foreign("bridge", "somebody's")
	_, err := b.Install(t.Context())
	if err == nil {
		t.Fatal("nobody asked")
	}
	for _, part := range []string{"sriov is sriov-cni v2.10.0", "--foreign=replace", "--foreign=keep", "nothing was changed"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	untouched := map[string]string{"sriov": "sriov-cni v2.10.0", "bridge": "somebody's"}
	b.has(untouched)

	b.Names = []string{"ib-sriov"}
	b.lines(b.Install) // the foreign one is not asked for
	b.Names, b.Foreign = Names(), Keep
	b.lines(b.Install)
	b.has(with(four("ours v1"), "sriov", "sriov-cni v2.10.0", "bridge", "somebody's"))

	b.Foreign = Replace
	if diff := cmp.Diff([]string{"sriov: ibfabric v1, was sriov-cni v2.10.0, kept as DIR/" + keptDir + "/sriov"}, b.lines(b.Install)); diff != "" {
		t.Error(diff)
	}
	b.lines(b.Restore)
	b.has(with(four("ours v1"), "sriov", "sriov-cni v2.10.0", "bridge", "somebody's"))
}

func TestLinksBecomeFilesOfTheirOwn(t *testing.T) {
	b := newBin(t)
	b.foreign("elsewhere", "ours v0")
	for name, target := range map[string]string{"ib-sriov": "elsewhere", "sriov": b.Source, "rdma": "to-nothing"} {
		if err := os.Symlink(target, b.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	b.lines(b.Install)
	// Another installer's cp goes through links and into shared files.
	b.foreign("ib-sriov", "ib-sriov-cni v1.3.0")
	b.has(with(four("ours v1"), "ib-sriov", "ib-sriov-cni v1.3.0", "elsewhere", "ours v0", keptDir+"/ib-sriov", "ours v0"))
}

func TestAPluginThatNobodyMayRunIsMendedAndNotKept(t *testing.T) {
	b := newBin(t)
	b.lines(b.Install)
	b.version("v2").lines(b.Install)
	if err := os.Chmod(b.path("rdma"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rdma: ibfabric v2, was ibfabric v2"}, b.lines(b.Install)); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(b.kept("rdma")); err != nil || string(text) != "ours v1" {
		t.Errorf("the former generation is now %q, %v", text, err)
	}
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

func TestWhatCannotBeInstalledSaysWhatToDo(t *testing.T) {
	b := newBin(t)
	b.Dir = filepath.Join(b.Dir, "none")
	for range 2 {
		_, err := b.Install(t.Context())
		if err == nil || !strings.Contains(err.Error(), "--cni-bin-dir") {
			t.Errorf("%v", err)
		}
		b.write(b.Dir, "a file")
	}
	b = newBin(t)
	b.Source = b.Source + ".gone"
	if _, err := b.Install(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "installing CNI plugin ib-sriov") {
		t.Errorf("%v", err)
	}
	b.has(map[string]string{})
	for _, bad := range []string{"", "ib-sriov,bridge", "../x", "IB-SRIOV"} {
		if _, err := ParseNames(bad); err == nil || !strings.Contains(err.Error(), "ib-sriov,sriov,rdma") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if names, err := ParseNames("rdma, ib-sriov,rdma"); err != nil || !cmp.Equal(names, []string{"rdma", "ib-sriov"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := ParsePolicy("ask"); err == nil {
		t.Error("ask is a policy")
	}
}

func TestLookReadsWhoseProgramItIs(t *testing.T) {
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"go": self, "script": []byte("#!/bin/sh\n"), "cut": self[:len(self)/3]} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := Look(dir, "go"); err != nil || b.Owner != Foreign || !strings.HasPrefix(b.Program, "github.com/ibfabric/ibfabric/cni/node/install") {
		t.Errorf("%+v, %v", b, err)
	}
	for _, name := range []string{"script", "cut"} {
		if b, err := Look(dir, name); err != nil || b.Owner != Foreign || !strings.Contains(b.String(), "unknown origin") {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	if b, err := Look(dir, "none"); err != nil || b.Owner != Missing {
		t.Errorf("%+v, %v", b, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(dir, "folder"); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

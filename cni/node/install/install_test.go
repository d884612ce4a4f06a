package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

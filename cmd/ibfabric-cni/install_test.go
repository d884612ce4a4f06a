//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/node/install"
)

// build makes the program as people get it.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ibfabric-cni")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// command runs a program with variables and returns what it says and its exit status.
func command(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestTheProgramInstallsItselfAsEachOfItsPlugins(t *testing.T) {
	program, dir := build(t), t.TempDir()
	theirs := filepath.Join(dir, "sriov")
	if err := os.WriteFile(theirs, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"IBFABRIC_CNI_BIN_DIR=" + dir}
	if out, code := command(t, env, program, "install"); code != 1 || !strings.Contains(out, "--foreign=replace") {
		t.Errorf("exit %d, %s", code, out)
	}
	if out, code := command(t, append(env, "IBFABRIC_CNI_FOREIGN=replace"), program, "install"); code != 0 || strings.Count(out, "\n") != 4 {
		t.Errorf("exit %d, %s", code, out)
	}
	for _, name := range append(install.Names(), install.Self) {
		if b, err := install.Look(dir, name); err != nil || b.Owner != install.Ours {
			t.Errorf("%+v, %v", b, err)
		}
	}
	// It answers to its name, as a runtime calls it.
	out, code := command(t, []string{"CNI_COMMAND=VERSION"}, filepath.Join(dir, "ib-sriov"))
	if code != 0 || !strings.Contains(out, "supportedVersions") {
		t.Errorf("exit %d, %s", code, out)
	}
	// The installed one is content with itself.
	if out, code := command(t, env, filepath.Join(dir, install.Self), "install"); code != 0 || out != "nothing to change in "+dir+"\n" {
		t.Errorf("exit %d, %s", code, out)
	}
	if out, code := command(t, env, program, "install", "--restore"); code != 0 || !strings.HasPrefix(out, "sriov: a file of unknown origin, was ibfabric") {
		t.Errorf("exit %d, %s", code, out)
	}
	if text, err := os.ReadFile(theirs); err != nil || string(text) != "#!/bin/sh\n" {
		t.Errorf("%.40q, %v", text, err)
	}
}

func TestInstallRefusesWhatMakesNoSense(t *testing.T) {
	for says, args := range map[string][]string{
		"choose from ib-sriov,sriov,rdma": {"--only", "bridge"}, "refuse, replace or keep": {"--foreign", "ask"}, "flags only": {"ib-sriov"},
	} {
		s := newStreams()
		if code := runInstall(s.tool, args); code != 2 || !strings.Contains(s.errors.String(), says) {
			t.Errorf("%v: exit %d, %s", args, code, s.errors.String())
		}
	}
}

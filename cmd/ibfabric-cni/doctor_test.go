//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/node/doctor"
	"github.com/ibfabric/ibfabric/cni/node/nodefake"
)

// streams is a tool whose output can be read.
type streams struct {
	tool
	env         map[string]string
	in          *strings.Reader
	out, errors bytes.Buffer
}

func newStreams() *streams {
	s := &streams{env: map[string]string{}, in: strings.NewReader("")}
	s.tool = tool{getenv: func(name string) string { return s.env[name] }, stdin: s.in, stdout: &s.out, stderr: &s.errors}
	return s
}

// theirBin is the bin directory of a node that has the plugins of others.
func theirBin(t *testing.T, n *nodefake.Node) {
	t.Helper()
	for _, name := range []string{"ib-sriov", "sriov", "rdma"} {
		n.Write("opt/cni/bin/"+name, "#!/bin/sh")
	}
}

func TestTheDoctorExitsWithOneWhenSomethingIsToBeMended(t *testing.T) {
	n := nodefake.InfiniBand(t)
	theirBin(t, n)
	s := newStreams()
	if code := runDoctor(s.tool, []string{"--root", n.Root}, n); code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, part := range []string{"\nmend   cni-names", "install --cni-bin-dir " + filepath.Join(n.Root, "opt/cni/bin") + " --foreign=replace", "1 to mend"} {
		if !strings.Contains(s.out.String(), part) {
			t.Errorf("%q is not in\n%s", part, s.out.String())
		}
	}
}

func TestTheDoctorsJSONSaysTheSame(t *testing.T) {
	n := nodefake.InfiniBand(t)
	n.Mode = host.Shared
	theirBin(t, n)
	s := newStreams()
	s.in.Reset(`{"items":[{"spec":{"config":"{\"type\":\"ib-sriov\",\"rdmaIsolation\":true}"}}]}`)
	if code := runDoctor(s.tool, []string{"--root", n.Root, "-o", "json", "--config", "-"}, n); code != 1 {
		t.Errorf("exit %d, %s", code, s.errors.String())
	}
	var r doctor.Report
	if err := json.Unmarshal(s.out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	modes := 0
	for _, row := range r.Rows {
		if row.Check == "rdma-mode" && row.State == doctor.Mend && strings.Contains(row.Seen, "networks isolate") {
			modes++
		}
	}
	if r.OK || modes != 1 || r.Node != "node-1" {
		t.Errorf("%+v", r)
	}
}

func TestTheDoctorLooksAtTheMachineItRunsOn(t *testing.T) {
	s := newStreams()
	code := runDoctor(s.tool, nil, nil)
	if out := s.out.String(); code > 1 || !strings.HasPrefix(out, "STATE ") || !strings.Contains(out, " to mend, ") {
		t.Errorf("exit %d\n%s%s", code, out, s.errors.String())
	}
}

func TestACallThatMakesNoSenseIsRefusedInOneLine(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "net.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"table or json": {"-o", "yaml"}, "flags only": {"now"}, "InfiniBand or Ethernet": {"--link-layer", "ib"},
		"no plugin": {"--only", "bridge"}, "not defined": {"--colour"}, "reading a network's configuration": {"--config", broken},
		"no such file": {"--config", broken + ".gone"},
	} {
		s := newStreams()
		if code := runDoctor(s.tool, args, nil); code != 2 || s.out.Len() > 0 || strings.Count(s.errors.String(), "\n") != 1 || !strings.Contains(s.errors.String(), says) {
			t.Errorf("%v: exit %d, %q", args, code, s.errors.String())
		}
	}
	s := newStreams()
	if code := runDoctor(s.tool, []string{"--help"}, nil); code != 0 || strings.Count(s.errors.String(), "Flags:") != 1 || !strings.Contains(s.errors.String(), "-link-layer") {
		t.Errorf("exit %d, %s", code, s.errors.String())
	}
}

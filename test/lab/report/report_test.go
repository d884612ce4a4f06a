package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// words are events as go test -json writes them.
func words(t *testing.T, events ...event) string {
	t.Helper()
	var b bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func said(test, text string) event {
	return event{Action: "output", Package: "x/lab/cni", Test: test, Output: text}
}

func ended(test, how string, seconds float64) event {
	return event{Action: how, Package: "x/lab/cni", Test: test, Elapsed: seconds}
}

func TestEachScenarioIsOneLineWithItsKernelAndTime(t *testing.T) {
	from := words(t,
		said("TestReal/kernel_7/a_story", "    x.go:1: took 12.3 s in the guest\n"),
		ended("TestReal/kernel_7/a_story", pass, 0),
		ended("TestReal/kernel_7/another", fail, 0.5),
		said("TestReal/kernel_7", "    x.go:2: kernel 7.3.4+deb14-amd64: booted in 7s, all in 20s\n"),
		ended("TestReal/kernel_7", fail, 20),
		ended("TestReal", fail, 20),
		said("TestAlone", "    y.go:3: SKIPPED: no guest can be had here: apt-get is\n        missing\n"),
		said("TestAlone", "--- SKIP: TestAlone (0.00s)\n"),
		ended("TestAlone", skip, 0),
		ended("", fail, 21),
	)
	file := filepath.Join(t.TempDir(), "build", "lab.json")
	var out bytes.Buffer
	if err := run(strings.NewReader(from), &out, file, ""); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := summary{
		Scenarios: []scenario{
			{Name: "cni: a story", Kernel: "7.3.4+deb14-amd64", Result: pass, Seconds: 12.3},
			{Name: "cni: another", Kernel: "7.3.4+deb14-amd64", Result: fail, Seconds: 0.5},
			{Name: "cni: Alone", Result: skip, Why: "no guest can be had here: apt-get is missing"},
		},
		Passed: 1, Failed: 1, Skipped: 1,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(scenario{})); diff != "" {
		t.Error(diff)
	}
	for _, part := range []string{"took 12.3 s", "1 passed, 1 failed, 1 skipped", "*** SKIPPED (1): no guest can be had here: apt-get is missing ***"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, out.String())
		}
	}
}

// TestAFailureOutsideOfAStoryIsShown: a guest that does not boot has no stories, and a
// package that does not build has no tests.
func TestAFailureOutsideOfAStoryIsShown(t *testing.T) {
	for name, e := range map[string][]event{
		"cni: Real": {ended("TestReal/kernel_7", fail, 20), ended("TestReal", fail, 20), ended("", fail, 20)},
		"cni":       {ended("", fail, 0)},
	} {
		r := newReport()
		for _, e := range e {
			r.take(e)
		}
		if list := r.summary().Scenarios; len(list) != 1 || list[0].Name != name || list[0].Result != fail {
			t.Errorf("want %q alone: %+v", name, list)
		}
	}
}

func TestTheTableOfPluginsTakesItsPlaceOnAPage(t *testing.T) {
	page := filepath.Join(t.TempDir(), "README.md")
	before := "# Page\n" + tableBegin + "old\n" + tableEnd + "More.\n"
	if err := os.WriteFile(page, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	from := words(t,
		said("TestPeers/kernel_7", `    p.go:1: plugin story: {"plugin":"ibfabric","kind":"rdma","kernel":"7.3","story":"DEL twice","result":"pass"}`+"\n"),
		said("TestPeers/kernel_7", `    p.go:1: plugin story: {"plugin":"rdma-cni v1.6.0","kind":"rdma","kernel":"7.3","story":"DEL twice","result":"fail","because":"x"}`+"\n"),
		said("TestPeers/kernel_7", `    p.go:1: plugin story: {"plugin":"ibfabric","kind":"ib-sriov","kernel":"7.3","story":"ADD","result":"pass"}`+"\n"),
	)
	if err := run(strings.NewReader(from), new(bytes.Buffer), "", page); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Page\n" + tableBegin + `| | ibfabric, 7.3 | rdma-cni v1.6.0, 7.3 |
|---|---|---|
| ib-sriov: ADD | yes |  |
| rdma: DEL twice | yes | **no** |
` + tableEnd + "More.\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

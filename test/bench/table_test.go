package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file anew")

func example() Report {
	return Report{
		Machine: Machine{CPU: "Example CPU", Cores: 4}, UFMChangeMS: 200,
		Results: []Result{
			{Case: "one", Title: "one pod at a time", Contender: bareName, OneByOne: true, Pods: 20, Configured: 20,
				Create: Phase{Finished: true, Seconds: 0.21, Adds: 20}, P50Seconds: 0.21, P99Seconds: 0.222, PatchesPerPod: 1,
				Delete: Phase{Finished: true, Seconds: 0.43, Removes: 2}},
			{Case: "one", Title: "one pod at a time", Contender: "ibfabric", OneByOne: true, Pods: 20, Configured: 20,
				Create: Phase{Finished: true, Seconds: 0.231, Adds: 20}, P50Seconds: 0.231, P99Seconds: 0.25, PatchesPerPod: 1,
				Delete: Phase{Finished: true, Seconds: 0.45, Removes: 2}},
			{Case: "vfs", Title: "20 pods x 8 VFs", Contender: bareName, Pods: 20, Configured: 20,
				Create: Phase{Finished: true, Seconds: 0.45, Adds: 2}, PatchesPerPod: 1,
				Delete: Phase{Finished: true, Seconds: 0.5, Removes: 2}},
			{Case: "vfs", Title: "20 pods x 8 VFs", Contender: "ib-kubernetes v1", LimitSeconds: 90, Pods: 20, Configured: 5,
				Create: Phase{Seconds: 88, Adds: 12, Removes: 351}, PatchesPerPod: 2.5},
			{Case: "huge", Title: "10,000 pods, 10 PKeys", Contender: "ib-kubernetes v1", LimitSeconds: 90, Pods: 10000, Configured: 10000,
				Create: Phase{Finished: true, Seconds: 61.23, Adds: 30}, PatchesPerPod: 1, Delete: Phase{Seconds: 90}},
		},
	}
}

func TestTableShowsWhatIsDoneAndWhatIsNot(t *testing.T) {
	got, file := example().table(), filepath.Join("testdata", "table.golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with go test ./test/bench -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); after a wanted change: go test ./test/bench -update\n%s", file, diff)
	}
}

func TestPercentileIsAValueThatWasSeen(t *testing.T) {
	var sorted []time.Duration
	for i := range 20 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for n, want := range map[int]time.Duration{0: 1, 50: 10, 99: 20, 100: 20} {
		if got := percentile(sorted, n); got != want {
			t.Errorf("percentile(1…20, %d) = %d, want %d", n, got, want)
		}
	}
	if got := percentile(sorted[:1], 50); got != 1 {
		t.Errorf("percentile of one value = %d, want it", got)
	}
}

func TestPodsAskForAllNetworksInTurn(t *testing.T) {
	all := map[string]testCase{}
	for _, c := range cases(false) {
		all[c.Name] = c
	}
	for _, tt := range []struct {
		name string
		i    int
		want string
	}{
		{"one", 7, "rail0"},
		{"bulk", 13, "rail3"},
		{"vfs", 3, "rail0,rail0,rail0,rail0,rail0,rail0,rail0,rail0"},
		{"rails", 0, "rail0,rail1,rail2,rail3,rail4,rail5,rail6,rail7"},
	} {
		if got := all[tt.name].annotation(tt.i); got != tt.want {
			t.Errorf("%s, pod %d is on %s, want %s", tt.name, tt.i, got, tt.want)
		}
	}
}

func TestOnlyRefusesWhatIsNoCase(t *testing.T) {
	if _, err := choose(cases(false), "bulk,none"); err == nil {
		t.Error("choose took a case that there is not")
	}
	chosen, err := choose(cases(true), "vfs,one")
	if err != nil || names(chosen) != "vfs, one" {
		t.Errorf("choose = %s, %v, want vfs, one", names(chosen), err)
	}
}

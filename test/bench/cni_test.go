package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADDsOfTheCNIAreMeasuredBesideTheirRecordsAlone(t *testing.T) {
	root := t.TempDir()
	r, err := measureCNI(t.Context(), root, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, res := range r.Results {
		seen[res.Records+" "+res.What] = true
		if res.Calls != r.AtOnce || res.Calls != cniCards*cniVFs || res.P99MS < res.P50MS || res.P99MS <= 0 {
			t.Errorf("%+v, want one call a VF", res)
		}
	}
	if !seen["disk ADD"] || !seen["disk "+recordsAlone] {
		t.Errorf("measured %v", seen)
	}
	if left, err := os.ReadDir(filepath.Join(root, "build")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTheTableOfTheCNITellsThePluginFromTheDisk(t *testing.T) {
	rep := Report{CNI: &CNIReport{AtOnce: 64, Rounds: 40, Results: []CNIResult{
		{What: "ADD", Records: "memory", Calls: 2560, P50MS: 2.3, P99MS: 8.4},
		{What: recordsAlone, Records: "disk", Calls: 2560, P50MS: 37.21, P99MS: 73.7},
	}}}
	want := `
RECORDS IN  WHAT           MEDIAN   P99
memory      ADD            2.3 ms   8.4 ms
disk        records alone  37.2 ms  73.7 ms
`
	if got := rep.text(); !strings.HasSuffix(got, want) || !strings.Contains(got, "64 at once, 40 rounds; the plugin's own time is to be under 20 ms") {
		t.Errorf("got\n%s", got)
	}
}

func TestAQuickRunHasNoFewerADDsInItsTitle(t *testing.T) {
	chosen, err := choose(cases(true), cniCase)
	if err != nil || len(chosen) != 1 || !chosen[0].CNI || strings.Contains(chosen[0].Title, "quick") {
		t.Errorf("chosen %+v, %v", chosen, err)
	}
}

package control

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// docs/partitions.md tells what comes of the example.
func TestThePartitionExampleBecomesReady(t *testing.T) {
	bed := testbed.Start(t) // names of Partitions are the cluster's
	if err := rig.InstallKinds(t.Context(), bed); err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, bed)
	files, err := filepath.Glob("../../deploy/examples/partition/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no example: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = bed.Apply(t.Context(), text)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	w.startWith(nil, "--network-selector=", "--pkey-range=0x1000-0x1fff")
	w.ns = "team-a"
	w.pod("train", "rail1")
	g := w.configured("train")[0]
	w.inUFM(0x1000, g)
	w.inUFM(0x20, g)
}

package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// folder has files by their names and contents.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestARDMAStateFileTellsItsNetworkWhateverDashesItHas(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	dir := folder(t, map[string]string{
		"roce-1-a-" + id + "-net1": "", "roce-" + strings.Repeat("c", 64) + "-a-b": "",
		"roce-c1-net1": "", "-" + id: "", id: "", "roce-" + id: "", "README": "",
	})
	if err := os.Symlink(filepath.Join(dir, "README"), filepath.Join(dir, "roce-"+strings.Repeat("d", 64)+"-net1")); err != nil {
		t.Fatal(err)
	}
	got, err := Incumbents{RDMA: dir}.RDMAKeys()
	want := map[Key]string{{id, "net1"}: "roce-1-a", {strings.Repeat("c", 64), "a-b"}: "roce"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if none, err := (Incumbents{RDMA: dir + "x"}).RDMAKeys(); len(none) > 0 || err != nil {
		t.Errorf("a folder that is not there: %v, %v", none, err)
	}
}

func TestTheRuntimesNotesTellAContainersNamespace(t *testing.T) {
	dir := folder(t, map[string]string{
		"cbr0-c1-eth0": `{"containerId":"c1","netns":"/var/run/netns/x"}`,
		"cbr0-c2-eth0": `{"containerId":"c3","netns":"/var/run/netns/y"}`, // the name is no proof
		"cbr0-c4-eth0": `{"containerId":"c4"}`,
		"cbr0-c5-eth0": `{"containerId":`,
	})
	for container, want := range map[string]string{"c1": "/var/run/netns/x", "c2": "", "c3": "", "c4": "", "c5": "", "c": ""} {
		if got, err := (Incumbents{Results: dir}).NetNSOf(container); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", container, got, err, want)
		}
	}
}

func TestAYoungerCacheFileHasTheDevice(t *testing.T) {
	const vf = "0000:af:00.2"
	dir := folder(t, map[string]string{
		"c1-net1": `{"deviceID":"` + vf + `"}`,
		"c2-net1": `{"deviceID":"` + strings.ToUpper(vf) + `"}`,
		"c3-net1": `{"deviceID":"0000:af:00.3"}`,
		"c4-net1": `{"deviceID":`,
	})
	now := time.Now()
	for name, age := range map[string]time.Duration{"c1-net1": 2 * time.Hour, "c2-net1": time.Hour, "c3-net1": 3 * time.Hour, "c4-net1": 0} {
		if err := os.Chtimes(filepath.Join(dir, name), now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	for container, want := range map[string]bool{"c1": true, "c2": false, "c3": false} {
		i := Incumbents{IBSriov: dir}
		r, err := i.FromIBSriov(Key{container, "net1"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := i.Superseded(r); got != want || err != nil {
			t.Errorf("%s: %t, %v, want %t", container, got, err, want)
		}
		if !r.WrittenBefore(now.Add(-30*time.Minute)) || r.WrittenBefore(now.Add(-24*time.Hour)) || r.WrittenBefore(time.Time{}) {
			t.Errorf("%s: its time is not that of the file", container)
		}
	}
	if got, err := (Incumbents{}).Superseded(sample()); got || err != nil {
		t.Errorf("a record of ours: %t, %v", got, err)
	}
}

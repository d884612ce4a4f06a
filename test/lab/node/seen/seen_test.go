package seen

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADeviceIsReadFromSysfs(t *testing.T) {
	root := t.TempDir()
	port := "sys/class/infiniband/mlx5_3/ports/1/"
	for name, text := range map[string]string{
		port + "link_layer": "InfiniBand\n", port + "state": "4: ACTIVE\n", port + "gids/0": "fe80::1\n",
		port + "pkeys/0": "0x7fff\n", port + "pkeys/10": "0x8010\n", port + "pkeys/2": "0x0020\n", port + "pkeys/3": "0x0000\n",
		"dev/infiniband/uverbs3": "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LAB_VFS", "0000:01:10.0")
	s, err := Look(root)
	if err != nil {
		t.Fatal(err)
	}
	s.Netdevs = nil // this machine's
	want := Seen{
		Devices: []Device{{Name: "mlx5_3", LinkLayer: "InfiniBand", State: "4: ACTIVE", GID: "fe80::1", PKeys: []uint16{0x7fff, 0x20, 0x8010}}},
		Files:   []string{"uverbs3"}, VFs: []string{"0000:01:10.0"},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestWhereThereIsNoRDMANothingIsSeen(t *testing.T) {
	s, err := Look(t.TempDir())
	if err != nil || len(s.Devices)+len(s.Files)+len(s.VFs) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

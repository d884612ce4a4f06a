package host

import (
	"os"
	"path/filepath"
	"testing"
)

const (
	pfAddr = PCI("0000:17:00.0")
	vfAddr = PCI("0000:17:00.2")
)

// tree is a sysfs in a folder, with a PF and its second VF, as a ConnectX shows them.
type tree struct {
	t    *testing.T
	base string
}

func newTree(t *testing.T) tree {
	s := tree{t, t.TempDir()}
	s.dir("bus/pci/drivers/mlx5_core")
	s.file("bus/pci/drivers/mlx5_core/bind", "")
	s.file("bus/pci/drivers/mlx5_core/unbind", "")
	s.file("bus/pci/devices/0000:17:00.0/sriov_numvfs", "2")
	s.link("bus/pci/devices/0000:17:00.0/virtfn0", "../0000:17:00.1")
	s.link("bus/pci/devices/0000:17:00.0/virtfn1", "../0000:17:00.2")
	s.link("bus/pci/devices/0000:17:00.2/physfn", "../0000:17:00.0")
	s.link("bus/pci/devices/0000:17:00.2/driver", "../../drivers/mlx5_core")
	s.netdev("0000:17:00.2", "ib3", "12", "12")
	rdma := "bus/pci/devices/0000:17:00.2/infiniband/mlx5_4/"
	s.file(rdma+"node_guid", "0200:0000:0000:0001")
	s.file(rdma+"ports/1/link_layer", "InfiniBand")
	s.file(rdma+"ports/1/state", "4: ACTIVE")
	s.file(rdma+"ports/1/lid", "0x1f")
	s.file(rdma+"ports/1/gids/0", "fe80:0000:0000:0000:0200:0000:0000:0002")
	for i, entry := range []string{"0x9000", "0x7fff", "0x0020", "0x0000"} {
		s.file(rdma+"ports/1/pkeys/"+string(rune('0'+i)), entry)
	}
	return s
}

func (s tree) path(name string) string { return filepath.Join(s.base, name) }

func (s tree) dir(name string) {
	s.t.Helper()
	if err := os.MkdirAll(s.path(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// file writes text and a newline, as the kernel prints attributes.
func (s tree) file(name, text string) {
	s.t.Helper()
	s.dir(filepath.Dir(name))
	if err := os.WriteFile(s.path(name), []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s tree) link(name, target string) {
	s.t.Helper()
	s.dir(filepath.Dir(name))
	if err := os.Symlink(target, s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

func (s tree) netdev(pci, name, ifindex, iflink string) {
	s.t.Helper()
	s.file("bus/pci/devices/"+pci+"/net/"+name+"/ifindex", ifindex)
	s.file("bus/pci/devices/"+pci+"/net/"+name+"/iflink", iflink)
}

func (s tree) remove(name string) {
	s.t.Helper()
	if err := os.RemoveAll(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

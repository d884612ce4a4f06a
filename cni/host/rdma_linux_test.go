package host

import (
	"errors"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
)

func rdmaLink(index uint32, name string) *netlink.RdmaLink {
	return &netlink.RdmaLink{Attrs: netlink.RdmaLinkAttrs{Index: index, Name: name}}
}

// udev renames RDMA devices when they are bound, and a rebind takes the first name that is
// free: the device whose index the kernel then tells would be another tenant's.
func TestAnRDMADeviceIsNotTakenForTheNextOneOfItsName(t *testing.T) {
	s := newTree(t)
	dir := s.path("bus/pci/devices/" + string(vfAddr) + "/infiniband/")
	answers := 0
	got, err := findRDMA(s.base, func() ([]*netlink.RdmaLink, error) {
		if answers++; answers == 1 { // sysfs has been asked
			if err := os.Rename(dir+"/mlx5_4", dir+"/rocep3s0"); err != nil {
				t.Fatal(err)
			}
		}
		return []*netlink.RdmaLink{rdmaLink(8, "mlx5_4"), rdmaLink(4, "rocep3s0")}, nil
	}, vfAddr)
	if want := (RDMADevice{Index: 4, Name: "rocep3s0"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAnRDMADeviceIsLookedForAgain(t *testing.T) {
	for name, c := range map[string]struct {
		missed int // how many dumps are without it
		want   RDMADevice
		err    error
	}{
		"a dump missed it":      {missed: 3, want: RDMADevice{Index: 4, Name: "mlx5_4"}},
		"netlink never told it": {missed: 100, err: ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			answers := 0
			got, err := findRDMA(newTree(t).base, func() ([]*netlink.RdmaLink, error) {
				if answers++; answers <= c.missed {
					return []*netlink.RdmaLink{rdmaLink(8, "mlx5_8")}, errInterrupted
				}
				return []*netlink.RdmaLink{rdmaLink(8, "mlx5_8"), rdmaLink(4, "mlx5_4")}, nil
			}, vfAddr)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
}

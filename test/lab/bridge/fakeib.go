package bridge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ibfabric/ibfabric/guid"
)

// Fakeib is the virtual HCA of the machine that this runs on.
type Fakeib struct{ root string }

// OpenFakeib takes the subnet manager's part over from the module: a port stays INIT until
// somebody has programmed a table for its GUID.
func OpenFakeib() (*Fakeib, error) {
	f := &Fakeib{root: "/"}
	if err := os.WriteFile(f.debugfs("sm_strict"), []byte("1"), 0); err != nil {
		return nil, fmt.Errorf("the module fakeib: %w", err)
	}
	return f, nil
}

func (f *Fakeib) debugfs(name string) string {
	return filepath.Join(f.root, "sys/kernel/debug/fakeib", name)
}

// Ports implements [HCA]. A VF without a driver, or on its way from one namespace to
// another, is there with no GUID.
func (f *Fakeib) Ports(context.Context) ([]Port, error) {
	links, err := filepath.Glob(filepath.Join(f.root, "sys/bus/pci/drivers/fakeib/*/virtfn*"))
	if err != nil {
		return nil, err
	}
	ports := []Port{}
	for _, link := range links {
		if isEthernet(filepath.Dir(link)) {
			continue
		}
		vf, err := os.Readlink(link)
		if errors.Is(err, os.ErrNotExist) {
			continue // the PF has just lost its VFs
		}
		if err != nil {
			return nil, err
		}
		p := Port{PCI: filepath.Base(vf)}
		if p.GUID, err = f.guid(p.PCI); err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b Port) int { return strings.Compare(a.PCI, b.PCI) })
	return ports, nil
}

// isEthernet asks the PF, whose RDMA device stays at home.
func isEthernet(pf string) bool {
	files, _ := filepath.Glob(filepath.Join(pf, "infiniband/*/ports/1/link_layer"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, _ := os.ReadFile(file)
		return strings.HasPrefix(string(text), "Ethernet")
	})
}

func (f *Fakeib) guid(pci string) (guid.GUID, error) {
	text, err := os.ReadFile(f.debugfs(filepath.Join(pci, "port")))
	// EIO is debugfs's word for a file that is taken away between open and read.
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EIO) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var g uint64
	if _, err := fmt.Sscanf(string(text), "%x", &g); err != nil {
		return 0, fmt.Errorf("port of %s is %q: %w", pci, text, err)
	}
	if g == math.MaxUint64 {
		g = 0 // as good as none
	}
	return guid.GUID(g), nil
}

// Program implements [HCA].
func (f *Fakeib) Program(_ context.Context, g guid.GUID, entries ...uint16) error {
	line := g.Hex()
	for _, e := range entries {
		line += fmt.Sprintf(" %#04x", e)
	}
	return os.WriteFile(f.debugfs("sm"), []byte(line), 0)
}

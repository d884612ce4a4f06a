package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ibfabric/ibfabric/guid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subnet is a fabric whose subnet manager does what a test says.
type subnet struct {
	ports  map[string]guid.GUID
	up     map[guid.GUID][]uint16
	sweeps int
}

func (s *subnet) SetGUID(_ context.Context, name string, g guid.GUID) error {
	for other, has := range s.ports {
		if has == g && other != name {
			return fmt.Errorf("%s has %s as well", other, g)
		}
	}
	s.ports[name] = g
	return nil
}

func (s *subnet) Unplug(_ context.Context, name string) error {
	delete(s.up, s.ports[name])
	delete(s.ports, name)
	return nil
}

func (s *subnet) Table(_ context.Context, g guid.GUID) ([]uint16, error) {
	if table, up := s.up[g]; up {
		return table, nil
	}
	return nil, errors.New("not up")
}

func (s *subnet) Sweeps() int { return s.sweeps }

// sweep is the subnet manager's: it programs a table into the port that has the GUID.
func (s *subnet) sweep(g guid.GUID, table ...uint16) {
	s.sweeps++
	s.up[g] = table
}

// card is an HCA with the tables that it was given.
type card struct {
	ports  []Port
	tables map[guid.GUID][]uint16
	fails  error
}

func (c *card) Ports(context.Context) ([]Port, error) { return slices.Clone(c.ports), c.fails }

func (c *card) Program(_ context.Context, g guid.GUID, entries ...uint16) error {
	if len(entries) == 0 {
		delete(c.tables, g)
	} else {
		c.tables[g] = entries
	}
	return nil
}

// joined is a bridge from a card with two VFs, at the other end of a line, to a subnet.
func joined(t *testing.T) (*Bridge, *card, *subnet) {
	t.Helper()
	c := &card{ports: []Port{{"a", 1}, {"b", 2}}, tables: map[guid.GUID][]uint16{}}
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), there, c) }()
	client, err := NewClient(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = here.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	s := &subnet{ports: map[string]guid.GUID{}, up: map[guid.GUID][]uint16{}}
	return &Bridge{
		Fabric: s, HCA: client, Name: func(vf int) string { return fmt.Sprint("port", vf) },
		tables: map[guid.GUID]*table{},
	}, c, s
}

func (b *Bridge) steps(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := b.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

type tables = map[guid.GUID][]uint16

func TestAGUIDGoesOutAndItsTableComesBack(t *testing.T) {
	b, c, s := joined(t)
	b.steps(t, 1)
	want(t, "ports of the fabric", s.ports, map[string]guid.GUID{"port0": 1, "port1": 2})
	want(t, "tables before the subnet manager came", c.tables, tables{})
	s.sweep(2, 0x8010, 0x7fff)
	b.steps(t, 1)
	want(t, "tables", c.tables, tables{2: {0x8010, 0x7fff}})
}

func TestATableIsReadAgainAfterEachSweep(t *testing.T) {
	b, c, s := joined(t)
	b.steps(t, 1)
	s.sweep(1, 0x7fff)
	s.sweep(2, 0x7fff)
	b.steps(t, 1)
	s.up[1] = []uint16{0x8010}
	b.steps(t, 5)
	want(t, "tables, without a sweep", c.tables, tables{1: {0x7fff}, 2: {0x7fff}})
	s.sweep(2, 0x8020)
	b.steps(t, 2) // one of them in each
	want(t, "tables", c.tables, tables{1: {0x8010}, 2: {0x8020}})
}

func TestAPortWithAnotherGUIDWaitsForTheSubnetManager(t *testing.T) {
	b, c, s := joined(t)
	b.steps(t, 1)
	s.sweep(1, 0x8010)
	s.sweep(2, 0x7fff)
	b.steps(t, 1)
	c.ports[0].GUID = 3
	b.steps(t, 1)
	want(t, "ports of the fabric", s.ports, map[string]guid.GUID{"port0": 3, "port1": 2})
	want(t, "tables: what the former GUID had is forgotten", c.tables, tables{2: {0x7fff}})
}

func TestAVFWithoutADriverIsUnpluggedAndWaitsAgain(t *testing.T) {
	b, c, s := joined(t)
	b.steps(t, 1)
	s.sweep(1, 0x8010)
	b.steps(t, 1)
	c.ports[0].GUID = 0
	b.steps(t, 1)
	want(t, "ports of the fabric", s.ports, map[string]guid.GUID{"port1": 2})
	c.ports[0].GUID = 1
	b.steps(t, 1)
	want(t, "ports of the fabric", s.ports, map[string]guid.GUID{"port0": 1, "port1": 2})
	want(t, "tables before the subnet manager came again", c.tables, tables{})
}

func TestTwoPortsSwapTheirGUIDs(t *testing.T) {
	b, c, s := joined(t)
	b.steps(t, 1)
	c.ports = []Port{{"a", 2}, {"b", 1}}
	b.steps(t, 1)
	want(t, "ports of the fabric", s.ports, map[string]guid.GUID{"port0": 2, "port1": 1})
}

func TestAnErrorOfTheHCAIsTheBridges(t *testing.T) {
	b, c, _ := joined(t)
	c.fails = errors.New("the card is on fire")
	if err := b.Run(t.Context()); err == nil || errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestTheBridgeEndsWithTheNode(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		_, _ = there.Write([]byte("{}\n"))
		_ = there.Close()
	}()
	client, err := NewClient(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Bridge{Fabric: &subnet{}, HCA: client}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFakeibsPortsAreItsInfiniBandVFs(t *testing.T) {
	root := t.TempDir()
	file := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	pf := func(pci, layer string, vfs ...string) {
		t.Helper()
		file("sys/bus/pci/drivers/fakeib/"+pci+"/infiniband/mlx5_0/ports/1/link_layer", layer+"\n")
		for i, vf := range vfs {
			if err := os.Symlink("../"+vf, filepath.Join(root, "sys/bus/pci/drivers/fakeib", pci, fmt.Sprint("virtfn", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	pf("0000:02:00.0", "InfiniBand", "0000:02:10.0")
	pf("0000:01:00.0", "InfiniBand", "0000:01:10.0", "0000:01:10.2", "0000:01:10.4")
	pf("0000:03:00.0", "Ethernet", "0000:03:10.0")
	file("sys/kernel/debug/fakeib/0000:01:10.0/port", "0200000000000001 4 0x11\n")
	file("sys/kernel/debug/fakeib/0000:02:10.0/port", "ffffffffffffffff 1 0x0\n")
	file("sys/kernel/debug/fakeib/0000:03:10.0/port", "0200000000000003 4 0x11\n")
	// Its driver is just being unbound: a read gives EIO, as this file's does.
	going := filepath.Join(root, "sys/kernel/debug/fakeib/0000:01:10.4/port")
	if err := errors.Join(os.MkdirAll(filepath.Dir(going), 0o755), os.Symlink("/proc/self/mem", going)); err != nil {
		t.Fatal(err)
	}
	got, err := (&Fakeib{root: root}).Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "ports", got, []Port{{"0000:01:10.0", 0x0200_0000_0000_0001}, {"0000:01:10.2", 0}, {"0000:01:10.4", 0}, {"0000:02:10.0", 0}})
}

// Package bridge joins a node's virtual HCA (fakeib, in a guest) to a simulated fabric
// with a real subnet manager (test/lab/fabric), both ways: the GUID that a VF has is set on
// its port of the fabric, and the PKey table that the subnet manager then programmed there
// is given to the VF's port. A VF is ACTIVE when the subnet manager has come to it, and not
// before.
//
// In the guest a program runs [Serve] over [Fakeib]; on the host [NewClient] is the other
// end of whatever connects the two, and [Bridge.Run] does the rest.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// HCA is a node's cards as far as the fabric is concerned.
type HCA interface {
	// Ports are all InfiniBand VFs of the node, in the order of their addresses, so that
	// each keeps its place while the cards keep their VFs.
	Ports(ctx context.Context) ([]Port, error)
	// Program gives a table, from index 0, to whichever port has the GUID, now or later. No
	// entries: it is forgotten. A port that has its table stays as it is then, and the next
	// one with that GUID waits for another.
	Program(ctx context.Context, g guid.GUID, entries ...uint16) error
}

// Port is a VF's.
type Port struct {
	PCI  string    `json:"pci"`
	GUID guid.GUID `json:"guid"` // zero: its link is down
}

// Fabric is what [fabric.Fabric] does. Ports have ibsim's names.
type Fabric interface {
	SetGUID(ctx context.Context, name string, g guid.GUID) error
	Unplug(ctx context.Context, name string) error
	// Table is the PKey table of a port that the subnet manager has brought up. It fails for
	// any other.
	Table(ctx context.Context, g guid.GUID) ([]uint16, error)
	// Sweeps counts what the subnet manager has done: as long as it is the same, so are the
	// tables.
	Sweeps() int
}

// Bridge joins one node to a fabric.
type Bridge struct {
	Fabric Fabric
	HCA    HCA
	Name   func(vf int) string // the fabric's, of VF number vf of HCA.Ports
	Log    func(line string)   // what was carried over; nil: nowhere

	ports  []Port
	tables map[guid.GUID]*table
}

// table is what is known of a GUID that a port has.
type table struct {
	entries []uint16 // as the HCA has them; nil: the subnet manager has not come yet
	sweeps  int      // Fabric.Sweeps before they were read
	asked   bool     // in vain
}

// pause is between two looks at the HCA.
const pause = 20 * time.Millisecond

// Run carries over what changes, until ctx or the node ends, or something fails.
func (b *Bridge) Run(ctx context.Context) error {
	b.tables = map[guid.GUID]*table{}
	for {
		err := b.step(ctx)
		if ctx.Err() != nil || errors.Is(err, ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// step looks at the HCA once and at few tables, so that a GUID that is set meanwhile does
// not wait for long.
func (b *Bridge) step(ctx context.Context) error {
	ports, err := b.HCA.Ports(ctx)
	if err != nil {
		return fmt.Errorf("reading the HCA's ports: %w", err)
	}
	if err := b.connect(ctx, ports); err != nil {
		return err
	}
	for _, g := range b.due() {
		if err := b.copy(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// connect makes the fabric's ports like the HCA's.
func (b *Bridge) connect(ctx context.Context, ports []Port) error {
	former := b.ports
	b.ports = ports
	var changed []int
	for i, p := range ports {
		if i < len(former) && former[i] == p {
			continue
		}
		changed = append(changed, i)
		// All of them before any gets its GUID, which another of them may have had.
		if err := b.Fabric.Unplug(ctx, b.Name(i)); err != nil {
			return fmt.Errorf("port of VF %s: %w", p.PCI, err)
		}
	}
	for _, i := range changed {
		p := ports[i]
		b.say("%s has %s", p.PCI, p.GUID)
		if p.GUID == 0 {
			continue
		}
		if err := b.Fabric.SetGUID(ctx, b.Name(i), p.GUID); err != nil {
			return fmt.Errorf("port of VF %s: %w", p.PCI, err)
		}
		b.tables[p.GUID] = &table{}
	}
	return b.forget(ctx)
}

// forget takes back the tables of GUIDs that no port has any more: whoever has one of them
// next waits for the subnet manager again.
func (b *Bridge) forget(ctx context.Context) error {
	for g := range b.tables {
		if slices.ContainsFunc(b.ports, func(p Port) bool { return p.GUID == g }) {
			continue
		}
		if err := b.HCA.Program(ctx, g); err != nil {
			return fmt.Errorf("forgetting the table of %s: %w", g, err)
		}
		delete(b.tables, g)
	}
	return nil
}

// due are the GUIDs that wait for their table, and one whose table may have changed.
func (b *Bridge) due() []guid.GUID {
	var waiting []guid.GUID
	oldest, sweeps := guid.GUID(0), b.Fabric.Sweeps()
	for g, t := range b.tables {
		switch {
		case t.entries == nil:
			waiting = append(waiting, g)
		case t.sweeps < sweeps:
			oldest, sweeps = g, t.sweeps
		}
	}
	if oldest != 0 {
		waiting = append(waiting, oldest)
	}
	return waiting
}

func (b *Bridge) copy(ctx context.Context, g guid.GUID) error {
	t, sweeps := b.tables[g], b.Fabric.Sweeps()
	entries, err := b.Fabric.Table(ctx, g)
	if err != nil { // the subnet manager has not come to it: the next step asks again
		if !t.asked {
			b.say("%s waits for the subnet manager: %v", g, err)
		}
		t.asked = true
		return ctx.Err()
	}
	t.sweeps = sweeps
	if slices.Equal(entries, t.entries) {
		return nil
	}
	if err := b.HCA.Program(ctx, g, entries...); err != nil {
		return fmt.Errorf("giving %s its table: %w", g, err)
	}
	t.entries = entries
	b.say("%s is programmed with %#04x", g, entries)
	return nil
}

func (b *Bridge) say(format string, args ...any) {
	if b.Log != nil {
		b.Log(fmt.Sprintf(format, args...))
	}
}

package fabric

import (
	"bufio"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// PKeys is the PKey table of a port as OpenSM programmed it, up to its last entry: the
// top bit is full membership, and zero an empty place. It is asked of the port itself.
func (f *Fabric) PKeys(ctx context.Context, g guid.GUID) ([]uint16, error) {
	text, err := f.query(ctx, "pkeys", g)
	if err != nil {
		return nil, fmt.Errorf("PKey table of port %s: %w", g, err)
	}
	table, err := parseTable(text)
	if err != nil {
		return nil, fmt.Errorf("PKey table of port %s: %w", g, err)
	}
	return table, nil
}

// query asks a port.
func (f *Fabric) query(ctx context.Context, what string, g guid.GUID) (string, error) {
	f.asking.Lock()
	defer f.asking.Unlock()
	text, err := output(f.client(ctx, "usr/sbin/smpquery", "-G", what, "0x"+g.Hex()))
	// A datagram may be lost on a busy machine; a port that is not there is another error.
	for try := 0; try < 5 && err != nil && strings.Contains(err.Error(), "timed out"); try++ {
		text, err = output(f.client(ctx, "usr/sbin/smpquery", "-G", what, "0x"+g.Hex()))
	}
	return text, err
}

// Table is [Fabric.PKeys] of a port that OpenSM has brought up; any other is an error. Before
// that a port has the table of whoever had it last.
func (f *Fabric) Table(ctx context.Context, g guid.GUID) ([]uint16, error) {
	text, err := f.query(ctx, "portinfo", g)
	if err != nil {
		return nil, fmt.Errorf("state of port %s: %w", g, err)
	}
	if state := portState.FindStringSubmatch(text); state == nil || state[1] != "Active" {
		return nil, fmt.Errorf("state of port %s: %q, want Active", g, state)
	}
	return f.PKeys(ctx, g)
}

var portState = regexp.MustCompile(`(?m)^LinkState:\.*(\w+)`)

// parseTable reads lines of eight entries behind their index.
func parseTable(text string) (table []uint16, err error) {
	used := 0
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		index, entries, _ := strings.Cut(lines.Text(), ":")
		if _, err := strconv.Atoi(strings.TrimSpace(index)); err != nil {
			continue // the last line is how many there can be
		}
		for entry := range strings.FieldsSeq(entries) {
			v, err := strconv.ParseUint(entry, 0, 16)
			if err != nil {
				return nil, fmt.Errorf("entry %q of %q: %w", entry, lines.Text(), err)
			}
			table = append(table, uint16(v))
			if v != 0 {
				used = len(table)
			}
		}
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("smpquery shows none: %q", text)
	}
	return table[:used], nil
}

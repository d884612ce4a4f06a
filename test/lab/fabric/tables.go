package fabric

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// PKeys is the PKey table of a port as OpenSM programmed it, up to its last entry: the
// top bit is full membership, and zero an empty place. It is asked of the port itself.
func (f *Fabric) PKeys(ctx context.Context, g guid.GUID) ([]uint16, error) {
	f.asking.Lock()
	defer f.asking.Unlock()
	text, err := output(f.client(ctx, "usr/sbin/smpquery", "-G", "pkeys", "0x"+g.Hex()))
	// A datagram may be lost on a busy machine; a port that is not there is another error.
	for try := 0; try < 5 && err != nil && strings.Contains(err.Error(), "timed out"); try++ {
		text, err = output(f.client(ctx, "usr/sbin/smpquery", "-G", "pkeys", "0x"+g.Hex()))
	}
	if err != nil {
		return nil, fmt.Errorf("PKey table of port %s: %w", g, err)
	}
	table, err := parseTable(text)
	if err != nil {
		return nil, fmt.Errorf("PKey table of port %s: %w", g, err)
	}
	return table, nil
}

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

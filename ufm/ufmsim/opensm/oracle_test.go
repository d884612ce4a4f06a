package opensm

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// entry is what OpenSM makes of a member: what goes into the port's table, and where.
type entry struct {
	key    uint16 // with the membership bit
	index0 bool
}

// tables are the entries of each port by PKey, as OpenSM 3.3.23 takes them from a file.
// It is written after OpenSM's documentation of the file and what it was seen to do, and
// shares nothing with Read: pieces of 4,094 characters, a comment cut off, definitions up
// to a semicolon, and any mistake the end of all.
func tables(body string) (map[guid.GUID]map[uint16]entry, error) {
	ports := map[guid.GUID]map[uint16]entry{}
	open := "" // a definition that the end of its line did not end
	for line := range pieces(body) {
		line, _, _ = strings.Cut(line, "#")
		for {
			definition, rest, ended := strings.Cut(line, ";")
			if strings.Trim(definition, " \t\n") != "" || open != "" {
				if open += definition; ended {
					if err := define(ports, open); err != nil {
						return nil, err
					}
					open = ""
				}
			}
			if !ended {
				break
			}
			line = rest
		}
	}
	if strings.TrimSpace(open) != "" {
		return nil, fmt.Errorf("%.40q does not end", open)
	}
	return ports, nil
}

func pieces(body string) func(func(string) bool) {
	return func(yield func(string) bool) {
		body, _, _ = strings.Cut(body, "\x00") // as C has it
		for line := range strings.Lines(body) {
			for len(line) > 0 {
				n := min(len(line), 4094)
				if !yield(line[:n]) {
					return
				}
				line = line[n:]
			}
		}
	}
}

func define(ports map[guid.GUID]map[uint16]entry, text string) error {
	head, list, ok := strings.Cut(text, ":")
	if !ok {
		return fmt.Errorf("no partition definition in %.40q", text)
	}
	flags := strings.Split(head, ",")
	name, id := token(flags[0])
	if id == "" && name != "" && name[0] >= '0' && name[0] <= '9' {
		id = name
	}
	key, err := strconv.ParseUint(id, 0, 16)
	if err != nil {
		return fmt.Errorf("partition id: %w", err)
	}
	index0, fallback := false, "limited"
	for _, flag := range flags[1:] {
		switch name, value := token(flag); name {
		case "indx0":
			index0 = true
		case "defmember":
			fallback = value
		}
	}
	for item := range strings.SplitSeq(list, ",") {
		port, membership := token(item)
		if membership == "" {
			membership = fallback
		}
		e := entry{key: uint16(key) & 0x7fff, index0: index0}
		if membership == "full" {
			e.key |= 0x8000
		}
		switch port {
		case "", "SELF", "ALL_SWITCHES":
			continue
		case "ALL": // the port with GUID 0 stands for all of them
			put(ports, 0, e)
			continue
		}
		g, err := strconv.ParseUint(port, 0, 64)
		if err != nil || g == 0 {
			return fmt.Errorf("port %.40q: %w", port, err)
		}
		put(ports, guid.GUID(g), e)
	}
	return nil
}

func put(ports map[guid.GUID]map[uint16]entry, g guid.GUID, e entry) {
	if ports[g] == nil {
		ports[g] = map[uint16]entry{}
	}
	ports[g][e.key&0x7fff] = e
}

func token(s string) (name, value string) {
	name, value, _ = strings.Cut(s, "=")
	return strings.Trim(name, " \t\n"), strings.Trim(value, " \t\n")
}

// everybody is the table of a port that no tenant has: a limited member of the default
// partition, and of nothing else.
func everybody() map[uint16]entry { return map[uint16]entry{0x7fff: {key: 0x7fff}} }

func equalEntries(a, b map[uint16]entry) bool { return maps.Equal(a, b) }

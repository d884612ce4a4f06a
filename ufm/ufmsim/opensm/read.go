package opensm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// Read returns the partitions of a file as Render writes it, and refuses any other: what
// is not understood here may be an error to OpenSM.
func Read(body []byte) ([]ufmsim.Partition, error) {
	if !ours(body) {
		return nil, errors.New("ufm-sim did not write it; move it away, start again, and enter its partitions through ufm-sim")
	}
	rest, ok := bytes.CutPrefix(body[len(header):], []byte(defaultPartition))
	if !ok {
		return nil, errors.New("line 2 is not the default partition as ufm-sim writes it; restore the line, or move the file away")
	}
	var parts []ufmsim.Partition
	number := 2
	for line := range bytes.Lines(rest) {
		number++
		p, err := readLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if n := len(parts) - 1; n >= 0 && parts[n].PKey == p.PKey {
			parts[n].Members = append(parts[n].Members, p.Members...)
		} else {
			parts = append(parts, p)
		}
	}
	for _, p := range parts {
		slices.SortFunc(p.Members, func(a, b pkey.Member) int { return cmp.Compare(a.GUID, b.GUID) })
	}
	// Whatever a line's reading let pass, such as a GUID that is there twice, shows now.
	again, err := Render(parts)
	if err == nil && !bytes.Equal(again, body) {
		err = errors.New("ufm-sim would write it otherwise: it was changed by hand; undo that, or move it away")
	}
	return parts, err
}

// readLine reads one definition: name=pkey, flags : members ;
func readLine(line string) (p ufmsim.Partition, err error) {
	if len(line) > maxLine {
		return p, fmt.Errorf("%d characters are more than OpenSM reads at once", len(line))
	}
	definition, list, found := strings.Cut(line, " :")
	list, ended := strings.CutSuffix(list, " ;\n")
	if !found || !ended || strings.ContainsAny(definition+list, ";#:\n") {
		return p, errors.New("not one whole definition")
	}
	name, flags, _ := strings.Cut(definition, ", ")
	var key string
	p.Name, key, _ = strings.Cut(name, "=")
	if p.PKey, err = pkey.Parse(key); err != nil {
		return p, err
	}
	index0 := false
	for flag := range strings.SplitSeq(flags, ", ") {
		switch flag {
		case "indx0":
			index0 = true
		case "ipoib":
			p.IPoIB = true
		default:
			if err := readQoS(flag, &p.QoS); err != nil {
				return p, err
			}
		}
	}
	p.Members, err = readMembers(list, index0)
	return p, err
}

func readQoS(flag string, q *pkey.QoS) error {
	name, text, _ := strings.Cut(flag, "=")
	var code int
	if _, err := fmt.Sscanf(text, "%d", &code); err != nil {
		return fmt.Errorf("flag %q: not known, or not a number", flag)
	}
	switch name {
	case "mtu":
		q.MTULimit = keyOf(mtuCodes(), code)
	case "rate":
		q.RateLimit = keyOf(rateCodes(), code)
	case "sl":
		q.ServiceLevel = code
	default:
		return fmt.Errorf("flag %q: not known", flag)
	}
	return nil
}

// keyOf is zero for a code that nobody has, which no QoS may be.
func keyOf[K comparable](codes map[K]int, code int) (key K) {
	for k, c := range codes {
		if c == code {
			return k
		}
	}
	return key
}

func readMembers(list string, index0 bool) ([]pkey.Member, error) {
	if list == "" {
		return nil, nil
	}
	var members []pkey.Member
	for item := range strings.SplitSeq(list, ",") {
		text, membership, _ := strings.Cut(strings.TrimPrefix(item, " "), "=")
		g, err := guid.Parse(text)
		if err != nil {
			return nil, err
		}
		m := pkey.Member{GUID: g, Mode: pkey.Mode{Index0: index0}}
		if m.Membership, err = pkey.ParseMembership(membership); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

// tenants are all partitions but the management one, as Read returns them.
func tenants(parts []ufmsim.Partition) []ufmsim.Partition {
	return slices.DeleteFunc(slices.Clone(parts), func(p ufmsim.Partition) bool { return p.PKey == pkey.Default })
}

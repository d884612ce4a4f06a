// Package guid holds the identity of an InfiniBand port: the GUID value, ranges of
// GUIDs, and the Pool that says who owns which.
//
// A VF has a node GUID and a port GUID; ibfabric gives both the same value, as
// ib-kubernetes and ib-sriov-cni do, so one GUID stands for one VF.
package guid

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// GUID is the 64-bit identifier of an InfiniBand port (an EUI-64; InfiniBand
// Architecture Specification vol. 1, 4.1). The zero value means "none".
type GUID uint64

// ParseError says why a text is no GUID. Text is cut to a length fit for a message.
type ParseError struct{ Text, Why string }

func (e *ParseError) Error() string {
	return fmt.Sprintf("guid %q: %s; write 16 hex digits, as in 02:00:00:00:00:00:00:01 or 0x0200000000000001", e.Text, e.Why)
}

// Parse reads every form in use, in either case:
//
//	02:00:00:00:00:00:00:01   ib-kubernetes, ip link, Multus
//	02-00-00-00-00-00-00-01   Windows tools, some inventories
//	0200:0000:0000:0001       sysfs, rdma
//	0200000000000001          UFM
//	0x0200000000000001        OpenSM, ibstat, smpquery
//
// Zero and all-ones are refused: a VF with either never comes up.
func Parse(s string) (GUID, error) {
	fail := func(why string) (GUID, error) {
		if len(s) > 40 {
			s = s[:40] + "…"
		}
		return 0, &ParseError{Text: s, Why: why}
	}
	digits, ok := hexDigits(s)
	if !ok {
		return fail("not 8 bytes in hex")
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return fail("not hex")
	}
	switch g := GUID(v); g {
	case 0:
		return fail("all zeros is no GUID")
	case math.MaxUint64:
		return fail("all ones is no GUID")
	default:
		return g, nil
	}
}

// hexDigits strips the separators of the known forms and reports whether s has the
// shape of one of them; that the 16 characters are hex digits is left to the caller.
func hexDigits(s string) (string, bool) {
	switch len(s) {
	case 16:
		return s, true
	case 18:
		return s[2:], s[0] == '0' && (s[1] == 'x' || s[1] == 'X')
	case 19:
		return ungroup(s, 4, ':')
	case 23:
		if s[2] == '-' {
			return ungroup(s, 2, '-')
		}
		return ungroup(s, 2, ':')
	}
	return "", false
}

// ungroup joins groups of size characters that sep must separate.
func ungroup(s string, size int, sep byte) (string, bool) {
	var b strings.Builder
	for i := range len(s) {
		if i%(size+1) == size {
			if s[i] != sep {
				return "", false
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// IsValid reports whether g can be given to a VF: neither zero nor all-ones.
func (g GUID) IsValid() bool { return g != 0 && g != math.MaxUint64 }

// String is the form that ib-kubernetes writes and ip link prints: 02:00:00:00:00:00:00:01.
func (g GUID) String() string { return string(g.grouped(1)) }

// Hex is the form that UFM speaks: 16 lower-case digits, 0200000000000001.
func (g GUID) Hex() string { return string(g.grouped(8)) }

// Sysfs is the form of /sys/class/infiniband/*/node_guid: 0200:0000:0000:0001.
func (g GUID) Sysfs() string { return string(g.grouped(2)) }

// grouped prints the eight bytes with a colon after every n of them.
func (g GUID) grouped(n int) []byte {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 23)
	for i := range 8 {
		if i > 0 && i%n == 0 {
			b = append(b, ':')
		}
		octet := byte(g >> (56 - 8*i))
		b = append(b, hex[octet>>4], hex[octet&15])
	}
	return b
}

// MarshalText writes the colon form; none is the empty text.
func (g GUID) MarshalText() ([]byte, error) {
	if g == 0 {
		return nil, nil
	}
	return g.grouped(1), nil
}

// UnmarshalText reads any form that Parse does; the empty text is none.
func (g *GUID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*g = 0
		return nil
	}
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*g = v
	return nil
}

// Range is a span of GUIDs, both ends in it.
type Range struct{ First, Last GUID }

// ParseRange reads the two ends of a range.
func ParseRange(first, last string) (Range, error) {
	f, err := Parse(first)
	if err != nil {
		return Range{}, fmt.Errorf("start of the guid range: %w", err)
	}
	l, err := Parse(last)
	if err != nil {
		return Range{}, fmt.Errorf("end of the guid range: %w", err)
	}
	if f > l {
		return Range{}, fmt.Errorf("guid range %s..%s: its start is above its end", f, l)
	}
	return Range{f, l}, nil
}

// Contains reports whether g lies in r.
func (r Range) Contains(g GUID) bool { return r.First <= g && g <= r.Last }

// Size is the number of GUIDs in r.
func (r Range) Size() uint64 { return uint64(r.Last-r.First) + 1 }

func (r Range) String() string { return r.First.String() + ".." + r.Last.String() }

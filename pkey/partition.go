package pkey

import (
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
)

// Membership says what a member of a partition may talk to: Full members to all,
// Limited ones only to full ones. The zero value is Full, UFM's own default.
type Membership uint8

const (
	Full Membership = iota
	Limited
)

// ParseMembership reads "full" or "limited"; the empty text is full.
func ParseMembership(s string) (Membership, error) {
	switch strings.ToLower(s) {
	case "", "full":
		return Full, nil
	case "limited":
		return Limited, nil
	}
	return 0, fmt.Errorf("membership %s: write full or limited", clip(s))
}

func (m Membership) String() string {
	if m == Limited {
		return "limited"
	}
	return "full"
}

// MarshalText writes "full" or "limited".
func (m Membership) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (m *Membership) UnmarshalText(text []byte) error {
	v, err := ParseMembership(string(text))
	if err != nil {
		return err
	}
	*m = v
	return nil
}

// Mode is how a GUID is in a partition: its membership, and whether the PKey stands at
// index 0 of the port's table, where IPoIB and most RDMA programs look. A GUID has at
// most one PKey at index 0; of several, OpenSM silently takes the last.
type Mode struct {
	Membership Membership
	Index0     bool
}

func (m Mode) String() string {
	if m.Index0 {
		return m.Membership.String() + ", index 0"
	}
	return m.Membership.String()
}

// Member is a GUID in a partition.
type Member struct {
	GUID guid.GUID
	Mode
}

// Partition is what UFM says of one PKey. A partition that UFM does not know has no
// members: UFM drops a partition with its last one.
type Partition struct {
	PKey    PKey
	Name    string // UFM's, api_pkey_0x2fb for those made by REST
	IPoIB   bool
	Members []Member
	From    string // the address of the UFM that said so
	// Err says why the members could not be read. They are unknown then, not none, and
	// nothing may be removed, held or given away on the strength of them.
	Err error
}

// Batch is a number of GUIDs to be put into a partition in the same way.
type Batch struct {
	Mode
	IPoIB bool // only counts for the batch that makes the partition
	GUIDs []guid.GUID
}

// Range is a span of PKeys, both ends in it.
type Range struct{ First, Last PKey }

// Scope is the set of PKeys that a controller may change. The zero Scope is all that
// can be given to a tenant.
type Scope []Range

// ParseScope reads "0x100-0x1ff,0x300"; the empty text is the zero Scope.
func ParseScope(s string) (Scope, error) {
	var scope Scope
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		f, err := Parse(strings.TrimSpace(first))
		if err != nil {
			return nil, err
		}
		l, err := Parse(strings.TrimSpace(last))
		if err != nil {
			return nil, err
		}
		if f > l {
			return nil, fmt.Errorf("pkey range %s-%s: its start is above its end", f, l)
		}
		scope = append(scope, Range{f, l})
	}
	if len(scope) == 0 && strings.TrimSpace(s) != "" {
		// "${A},${B}" with both of them empty must not open everything.
		return nil, fmt.Errorf("pkey scope %s names no pkey; write 0x100-0x1ff,0x300, or nothing for all", clip(s))
	}
	return scope, nil
}

// Contains reports whether p may be changed.
func (s Scope) Contains(p PKey) bool {
	if len(s) == 0 {
		return p.IsValid()
	}
	for _, r := range s {
		if r.First <= p && p <= r.Last {
			return true
		}
	}
	return false
}

func (s Scope) String() string {
	if len(s) == 0 {
		s = Scope{{Min, Max}}
	}
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.First.String() + "-" + r.Last.String()
	}
	return strings.Join(parts, ",")
}

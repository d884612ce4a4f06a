package attach

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/pkey"
)

// Claim is one partition that a GUID joins, and how.
type Claim struct {
	PKey      pkey.PKey // zero until Partition is resolved
	Partition string    // the Partition's name, where the network gives one instead of a PKey
	pkey.Mode
	IPoIB bool // whether the partition carries IPoIB, should this GUID be the one that makes it
}

func (c Claim) String() string {
	if c.PKey == 0 {
		return c.Partition
	}
	return c.PKey.String()
}

// plain reports whether cni-args.pkey alone says all of c: it is what ib-kubernetes does.
func (c Claim) plain() bool { return c.Mode == pkey.Mode{Membership: pkey.Full, Index0: true} }

// CheckClaims refuses claims of one GUID that contradict each other. Ask again when
// names of Partitions have become PKeys: two names can be one PKey.
func CheckClaims(claims []Claim) error {
	seen := make(map[string]bool, len(claims))
	var first *Claim
	for i, c := range claims {
		name := c.String()
		if seen[name] {
			return fmt.Errorf("partition %s is named twice; name it once", clip(name))
		}
		seen[name] = true
		if !c.Index0 {
			continue
		}
		if first != nil {
			return fmt.Errorf("partitions %s and %s both want index 0, which a port has once; leave it to one", clip(first.String()), clip(name))
		}
		first = &claims[i]
	}
	return nil
}

// FormatClaims writes claims as the networks annotation records them, in
// cni-args."ibfabric.io/pkeys": every partition of the GUID, the primary one (that of
// cni-args.pkey) first,
//
//	<pkey>:full|limited[:index0],…    0x5:full:index0,0x20:limited
//
// The key is there only where cni-args.pkey does not say it all: with one claim that is
// full and at index 0, the element is exactly what ib-kubernetes writes.
// IPoIB is no part of the record: it concerns the partition, not the port.
func FormatClaims(claims []Claim) string {
	parts := make([]string, len(claims))
	for i, c := range claims {
		parts[i] = c.PKey.String() + ":" + c.Membership.String()
		if c.Index0 {
			parts[i] += ":index0"
		}
	}
	return strings.Join(parts, ",")
}

// ParseClaims reads what FormatClaims writes.
func ParseClaims(text string) ([]Claim, error) {
	var claims []Claim
	for part := range strings.SplitSeq(text, ",") {
		c, err := parseClaim(part)
		if err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	if err := CheckClaims(claims); err != nil {
		return nil, err
	}
	return claims, nil
}

func parseClaim(text string) (Claim, error) {
	key, mode, _ := strings.Cut(text, ":")
	p, err := pkey.Parse(key)
	if err != nil {
		return Claim{}, err
	}
	c := Claim{PKey: p}
	mode, c.Index0 = strings.CutSuffix(mode, ":index0")
	if mode == "" {
		return Claim{}, errors.New("membership is missing behind " + p.String() + "; write it as " + p.String() + ":full")
	}
	c.Membership, err = pkey.ParseMembership(mode)
	return c, err
}

package pkey

import (
	"cmp"
	"slices"

	"github.com/ibfabric/ibfabric/guid"
)

// Want is what the cluster's ledger says of one partition.
type Want struct {
	Members []Member    // must be in it
	Leaving []guid.GUID // were put in by us and must go
}

// Changes is what must happen to a partition, and what stands in it that is not ours.
type Changes struct {
	Adds   []Batch     // one per Mode, full before limited; IPoIB is left to the caller
	Remove []guid.GUID // leaving, and still in it
	Gone   []guid.GUID // leaving, and seen to be out of it
	// Unclaimed are members of our GUID range that no row of the ledger explains.
	// They are reported, never removed.
	Unclaimed []guid.GUID
	Foreign   int // members outside our range: not ours to count by name
}

// Diff compares what the ledger wants of a partition with what UFM shows. mine says
// whether a GUID lies in our range.
//
//	ledger says   UFM shows            Changes
//	-----------   ------------------   ----------------------------------------
//	member        nothing              Adds
//	member        it, in another mode  Adds (UFM's POST sets the mode anew)
//	member        it, in this mode     -
//	leaving       it                   Remove
//	leaving       nothing              Gone
//	nothing       it, in our range     Unclaimed
//	nothing       it, out of range     Foreign
//
// A GUID that is both member and leaving is a member: a live owner never loses it.
// Diff is pure, and its answer is in order of GUID.
func Diff(want Want, actual []Member, mine func(guid.GUID) bool) Changes {
	var c Changes
	shown := make(map[guid.GUID]Mode, len(actual))
	for _, m := range actual {
		shown[m.GUID] = m.Mode
	}
	known := make(map[guid.GUID]bool, len(want.Members)+len(want.Leaving))
	adds := map[Mode][]guid.GUID{}
	for _, m := range want.Members {
		if known[m.GUID] {
			continue
		}
		known[m.GUID] = true
		if mode, in := shown[m.GUID]; !in || mode != m.Mode {
			adds[m.Mode] = append(adds[m.Mode], m.GUID)
		}
	}
	for _, g := range want.Leaving {
		if known[g] {
			continue
		}
		known[g] = true
		if _, in := shown[g]; in {
			c.Remove = append(c.Remove, g)
		} else {
			c.Gone = append(c.Gone, g)
		}
	}
	for g := range shown {
		switch {
		case known[g]:
		case mine(g):
			c.Unclaimed = append(c.Unclaimed, g)
		default:
			c.Foreign++
		}
	}
	for mode, guids := range adds {
		slices.Sort(guids)
		c.Adds = append(c.Adds, Batch{Mode: mode, GUIDs: guids})
	}
	slices.SortFunc(c.Adds, func(a, b Batch) int { return compareModes(a.Mode, b.Mode) })
	slices.Sort(c.Remove)
	slices.Sort(c.Gone)
	slices.Sort(c.Unclaimed)
	return c
}

// compareModes puts full before limited, and index 0 before the rest.
func compareModes(a, b Mode) int {
	if a.Index0 != b.Index0 && a.Membership == b.Membership {
		if a.Index0 {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.Membership, b.Membership)
}

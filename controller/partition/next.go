package partition

import "github.com/ibfabric/ibfabric/pkey"

// Next is the PKey for a new Partition: the first one behind last, in the order of ranges
// and then from their beginning, that is not taken. A PKey that became free thus comes
// last. Without a last one, or with one from other ranges, the walk begins anew; false is
// that all are taken.
func Next(ranges pkey.Scope, last pkey.PKey, taken func(pkey.PKey) bool) (pkey.PKey, bool) {
	all := walk(ranges)
	start := 0
	for i, p := range all {
		if p == last {
			start = i + 1
			break
		}
	}
	for i := range all {
		if p := all[(start+i)%len(all)]; !taken(p) {
			return p, true
		}
	}
	return 0, false
}

// walk lists the PKeys of ranges; there are 32766 at most that a tenant can have.
func walk(ranges pkey.Scope) []pkey.PKey {
	var all []pkey.PKey
	seen := map[pkey.PKey]bool{}
	for _, r := range ranges {
		for p := r.First; p <= r.Last && p.IsValid(); p++ {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

package partition

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/pkey"
)

func TestNextIsFreeAndInRangeWheneverThereIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges pkey.Scope
		inside := map[pkey.PKey]bool{}
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			first := rapid.IntRange(1, 40).Draw(t, "first")
			last := rapid.IntRange(first, 45).Draw(t, "last")
			ranges = append(ranges, pkey.Range{First: pkey.PKey(first), Last: pkey.PKey(last)})
			for p := first; p <= last; p++ {
				inside[pkey.PKey(p)] = true
			}
		}
		taken, free := map[pkey.PKey]bool{}, 0
		for p := range inside {
			if taken[p] = rapid.Bool().Draw(t, "taken"); !taken[p] {
				free++
			}
		}
		got, ok := Next(ranges, pkey.PKey(rapid.IntRange(0, 50).Draw(t, "last given")), func(p pkey.PKey) bool { return taken[p] })
		if ok != (free > 0) || ok && (taken[got] || !inside[got]) {
			t.Fatalf("%d free, and it gives %s, %t", free, got, ok)
		}
	})
}

func TestTheWalkComesToEachFreePKeyBeforeItComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := pkey.Scope{{First: 0x10, Last: 0x18}, {First: 0x5, Last: 0x9}}
		last := pkey.PKey(rapid.IntRange(0, 0x20).Draw(t, "last"))
		seen := map[pkey.PKey]bool{}
		for range 14 { // whatever is given is free again at once
			p, ok := Next(ranges, last, func(pkey.PKey) bool { return false })
			if !ok || seen[p] {
				t.Fatalf("%s comes again while others were never given", p)
			}
			seen[p], last = true, p
		}
	})
}

func TestTheManagementPartitionIsNeverGiven(t *testing.T) {
	end := pkey.Scope{{First: pkey.Max, Last: pkey.Default}}
	if p, ok := Next(end, 0, func(p pkey.PKey) bool { return p == pkey.Max }); ok {
		t.Errorf("it gives %s", p)
	}
}

package chaos

import (
	"testing"

	"github.com/ibfabric/ibfabric/pkey"
)

// What a failover brings back after the hold is left alone by rule 2; what it brings back
// before must go.
func TestAMemberWithoutAPodIsExcusedOnlyWhenItsRowWasGone(t *testing.T) {
	for name, test := range map[string]struct {
		failOver float64
		want     bool
	}{"after the hold": {11 + holdTime.Seconds(), true}, "within it": {11, false}} {
		x := newTrial()
		a := x.made("a", 0)
		x.add(1)
		x.configured(a, 2)
		x.ended(a, 10)
		x.remove(10.5)
		x.failOver(somePKey, test.failOver)
		j := &judge{history: x.history, spells: x.spells, past: x.past}
		j.index()
		at := place{someGUID, somePKey}
		if got := j.excusable(at); got != test.want {
			t.Errorf("%s: excused %t", name, got)
		}
		wrong := compare(nil, map[place]pkey.Mode{at: someMode()}, j)
		if len(wrong) == 0 != test.want {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	j := &judge{history: newTrial().history, spells: newTrial().spells, past: newTrial().past}
	if wrong := compare(map[place]pkey.Mode{{someGUID, somePKey}: someMode()}, nil, j); len(wrong) != 1 {
		t.Errorf("a live pod's member is missing: %v", wrong)
	}
}

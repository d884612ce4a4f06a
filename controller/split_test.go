package controller

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/guid"
)

type refusal struct{ error }

func (refusal) Rejected() bool { return true }

func TestSplitLetsAllThroughButTheCulprits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		chunk := rapid.IntRange(1, 70).Draw(t, "chunk")
		bad := map[guid.GUID]bool{}
		for _, g := range rapid.SliceOfN(rapid.IntRange(1, n), 0, 4).Draw(t, "bad") {
			bad[guid.GUID(g)] = true
		}
		var all, through []guid.GUID
		for i := range n {
			all = append(all, guid.GUID(i+1))
		}
		refused, err := split(all, chunk, func(part []guid.GUID) error {
			for _, g := range part {
				if bad[g] {
					return fmt.Errorf("add: %w", refusal{errors.New("no such guid")})
				}
			}
			through = append(through, part...)
			return nil
		})
		if err != nil || len(refused)+len(through) != n {
			t.Fatalf("%d of %d went through, %d refused, %v", len(through), n, len(refused), err)
		}
		for g := range bad {
			if refused[g] == nil {
				t.Fatalf("%s went through", g)
			}
		}
		// The innocent are refused only beside two culprits that stood alone before anything
		// went through: that looks like a partition that is refused. It is tried again.
		if len(refused) > len(bad) && len(bad) < 2 {
			t.Fatalf("%d culprits, %d blamed, %d went through", len(bad), len(refused), len(through))
		}
	})
}

func TestSplitGivesUpOnAPartitionThatIsRefusedAsAWhole(t *testing.T) {
	var all []guid.GUID
	for i := range guid.GUID(1000) {
		all = append(all, i+1)
	}
	calls := 0
	refused, err := split(all, 1000, func([]guid.GUID) error {
		calls++
		return refusal{errors.New("no")}
	})
	if err != nil || len(refused) != 1000 || calls > 25 {
		t.Errorf("UFM was asked %d times, refused %d, %v", calls, len(refused), err)
	}
}

func TestSplitHasABudget(t *testing.T) {
	var all []guid.GUID
	for i := range guid.GUID(1000) {
		all = append(all, i+1)
	}
	refusals := 0
	_, err := split(all, 1000, func(part []guid.GUID) error {
		for _, g := range part {
			if g%3 != 0 {
				refusals++
				return refusal{errors.New("no")}
			}
		}
		return nil
	})
	if refusals > splitBudget || (err != nil && !errors.Is(err, errUntried)) {
		t.Errorf("UFM refused %d times, %v", refusals, err)
	}
}

func TestSplitStopsAtOtherErrors(t *testing.T) {
	down := errors.New("connection refused")
	calls := 0
	_, err := split(make([]guid.GUID, 10), 2, func([]guid.GUID) error { calls++; return down })
	if !errors.Is(err, down) || calls != 1 {
		t.Errorf("asked %d times, %v", calls, err)
	}
}

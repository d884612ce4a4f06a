package controller

import (
	"testing"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

var mode0 = pkey.Mode{Index0: true}

func partition(from string, guids ...guid.GUID) pkey.Partition {
	part := pkey.Partition{PKey: 5, From: from}
	for _, g := range guids {
		part.Members = append(part.Members, pkey.Member{GUID: g, Mode: mode0})
	}
	return part
}

func TestAReadThatBeganBeforeAWriteSaysNothing(t *testing.T) {
	v := newView(false)
	v.showAll(nil, nil, "ufm1")
	mark := v.mark(5)
	v.writing(5)
	v.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, "ufm1")
	if v.show(partition("ufm1"), mark) {
		t.Error("an old read was taken")
	}
	if !v.holds(5, pkey.Member{GUID: 1, Mode: mode0}) {
		t.Error("the answered add is forgotten")
	}
}

func TestAWriteUnderWayMakesThePartitionUnknown(t *testing.T) {
	v := newView(false)
	v.show(partition("ufm1", 1), v.mark(5))
	v.writing(5)
	if _, fresh := v.members(5); fresh {
		t.Error("the view is relied upon while a write is unanswered")
	}
	if v.show(partition("ufm1", 1), v.mark(5)) {
		t.Error("a read during the write was taken")
	}
	v.gaveUp(5)
	v.show(partition("ufm1", 1), v.mark(5))
	if _, fresh := v.members(5); !fresh {
		t.Error("a read after it does not help")
	}
}

func TestAnAddAnsweredByAnotherUFMIsNotTheWholePicture(t *testing.T) {
	v := newView(false)
	v.show(partition("ufm1", 1), v.mark(5))
	v.writing(5)
	v.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{2}}, "standby")
	if _, fresh := v.members(5); fresh {
		t.Error("what ufm1 showed is taken for what the standby has")
	}
}

func TestOutMeansAnsweredAndSeenBySame(t *testing.T) {
	seen := func(removedBy, shownBy string, shows ...guid.GUID) bool {
		v := newView(false)
		v.show(partition("ufm1", 1), v.mark(5))
		if removedBy != "" {
			v.writing(5)
			v.removed(5, []guid.GUID{1}, removedBy)
		}
		if shownBy != "" {
			v.show(partition(shownBy, shows...), v.mark(5))
		}
		return len(v.proven(5, []guid.GUID{1})) == 1
	}
	for name, tc := range map[string]struct {
		got, want bool
	}{
		"never removed, not shown":           {seen("", "ufm1"), false},
		"removed, not read":                  {seen("ufm1", ""), false},
		"removed, shown without":             {seen("ufm1", "ufm1"), true},
		"removed, still shown":               {seen("ufm1", "ufm1", 1), false},
		"removed by one, not shown by other": {seen("ufm1", "standby"), false},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: proven is %v", name, tc.got)
		}
	}
}

func TestAMemberThatIsNotAppliedDoesNotCount(t *testing.T) {
	v := newView(false)
	v.show(partition("ufm1", 9), v.mark(5))
	b := pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}
	m := pkey.Member{GUID: 1, Mode: mode0}
	v.await(5, b, "noon")
	v.writing(5)
	v.gaveUp(5) // its answer was lost, and it shows
	v.show(partition("ufm1", 1, 9), v.mark(5))
	if v.holds(5, m) {
		t.Error("it counts as soon as a read shows it")
	}
	if before, waits := v.awaited(5); !waits || before != "noon" {
		t.Errorf("waited for is %q, %v", before, waits)
	}
	v.applied(5, "noon")
	if v.holds(5, m) {
		t.Error("it counts though nothing moved")
	}
	v.applied(5, "one")
	if !v.holds(5, m) {
		t.Error("it does not count though it is applied")
	}
}

func TestWhatWasNeverTakenIsNotWaitedFor(t *testing.T) {
	v := newView(false)
	v.show(partition("ufm1"), v.mark(5))
	v.await(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, "noon")
	v.writing(5)
	v.gaveUp(5)
	v.show(partition("ufm1"), v.mark(5))
	if _, waits := v.awaited(5); waits {
		t.Error("UFM does not have it, and it is waited for")
	}
}

func TestIndex0IsAskedForTwiceAndMembershipUntilItIsRight(t *testing.T) {
	for name, tc := range map[string]struct {
		shown, asked pkey.Mode
		settles      bool
	}{
		"index 0 never shows": {pkey.Mode{}, pkey.Mode{Index0: true}, true},
		"membership is wrong": {pkey.Mode{Membership: pkey.Full}, pkey.Mode{Membership: pkey.Limited}, false},
	} {
		v := newView(false)
		shows := pkey.Partition{PKey: 5, From: "ufm1", Members: []pkey.Member{{GUID: 1, Mode: tc.shown}}}
		for range 3 {
			v.show(shows, v.mark(5))
			if v.holds(5, pkey.Member{GUID: 1, Mode: tc.asked}) {
				break
			}
			v.writing(5)
			v.added(5, pkey.Batch{Mode: tc.asked, GUIDs: []guid.GUID{1}}, "ufm1")
		}
		v.show(shows, v.mark(5))
		if got := v.holds(5, pkey.Member{GUID: 1, Mode: tc.asked}); got != tc.settles {
			t.Errorf("%s: it counts is %v", name, got)
		}
	}
}

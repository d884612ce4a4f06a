package ledger

import (
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// A leader's clock was ahead when it wrote, or ours was set back.
func TestAHoldThatBeginsInTheFutureBeginsNow(t *testing.T) {
	now := time.Now()
	l := New()
	for g, r := range map[guid.GUID]Row{
		1: {State: Held, Since: now.AddDate(5, 0, 0)},
		2: {State: Held, Since: now.Add(-time.Minute)},
		3: {State: Assigned, Since: now.AddDate(5, 0, 0)}, // of two that claim one GUID the older stays
	} {
		r.GUID, r.UID = g, "u"
		if !l.Put(r) {
			t.Fatal("it has a row already")
		}
	}
	l.NotLater(now)
	for g, want := range map[guid.GUID]time.Time{1: now, 2: now.Add(-time.Minute), 3: now.AddDate(5, 0, 0)} {
		if r, _ := l.Get(g); !r.Since.Equal(want) {
			t.Errorf("%s is %v since %s, not %s", g, r.State, r.Since, want)
		}
	}
}

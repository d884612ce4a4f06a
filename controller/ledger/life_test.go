package ledger

import (
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// Whoever wrote when a hold began had another clock.
func TestHoldsBeginAnew(t *testing.T) {
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
	l.Rehold(now)
	for g, want := range map[guid.GUID]time.Time{1: now, 2: now, 3: now.AddDate(5, 0, 0)} {
		if r, _ := l.Get(g); !r.Since.Equal(want) {
			t.Errorf("%s is %v since %s, not %s", g, r.State, r.Since, want)
		}
	}
}

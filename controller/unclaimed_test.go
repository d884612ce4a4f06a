package controller

import (
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
)

// The ranges were others when the last leader kept it, and so they were when its row was made.
func TestAKeptGUIDOutsideTheRangesIsLetGoWithoutAWord(t *testing.T) {
	d := newDesk(t)
	const g guid.GUID = 1000
	d.unclaimed.remember([]guid.GUID{g}, d.pool, time.Now())
	if err := d.unclaimed.letGo(d.pool, g); err != nil {
		t.Error(err)
	}
}

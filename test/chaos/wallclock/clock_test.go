package wallclock

import (
	"path/filepath"
	"testing"
	"time"
)

func TestOnlyTheWallMoves(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	for _, ahead := range []time.Duration{0, time.Second, -time.Second, time.Hour, -time.Hour, 87600 * time.Hour, -87600 * time.Hour} {
		if err := Set(file, ahead); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		set := Now(file)
		after := time.Now()
		if set.Before(before) || set.After(after) { // by the monotonic reading
			t.Errorf("%s: its monotonic reading moved", ahead)
		}
		wall := set.Round(0).Add(-ahead)
		if wall.Before(before.Round(0)) || wall.After(after.Round(0)) {
			t.Errorf("%s: it is %s, and the machine's was %s", ahead, set, before)
		}
		if set.Add(time.Minute).Sub(set) != time.Minute || !set.Equal(set) {
			t.Errorf("%s: it does not count", ahead)
		}
	}
}

func TestAClockThatNobodySetIsTheMachines(t *testing.T) {
	before := time.Now()
	if now := Now(filepath.Join(t.TempDir(), "clock")); now.Round(0).Before(before.Round(0)) || now.Round(0).After(time.Now().Round(0)) {
		t.Errorf("it is %s", now)
	}
}

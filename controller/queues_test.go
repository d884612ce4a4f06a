package controller

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAKeyThatFailsRestsTwiceAsLongEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff[string]()
		for i, want := range []time.Duration{backoffMin, 2 * backoffMin, 4 * backoffMin} {
			if got := b.When("a"); got != want {
				t.Errorf("after failure %d it rests %s, want %s", i+1, got, want)
			}
			time.Sleep(want)
		}
		for range 9 {
			time.Sleep(b.When("a"))
		}
		if got := b.When("a"); got != backoffMax {
			t.Errorf("in the end it rests %s", got)
		}
		b.Forget("a")
		if got := b.When("a"); got != backoffMin {
			t.Errorf("after a success it rests %s", got)
		}
	})
}

// Each pod that comes has its partition looked at, and in a blip of UFM each look fails.
func TestAKeyThatIsAskedForMeanwhileRestsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff[string]()
		for left := b.When("a"); left > 0; left -= backoffMin / 10 {
			if got := b.When("a"); got != left {
				t.Errorf("it rests %s, want the %s that are left", got, left)
			}
			time.Sleep(backoffMin / 10)
		}
		if got := b.When("a"); got != 2*backoffMin {
			t.Errorf("after its rest it failed again and rests %s", got)
		}
	})
}

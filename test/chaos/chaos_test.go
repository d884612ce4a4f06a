package chaos

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestChaos plays the plan of SEED for DURATION; a seed by chance and a short time when
// they are not set.
func TestChaos(t *testing.T) {
	seed, duration := rand.Uint64N(1_000_000), 20*time.Second
	var err error
	if text := os.Getenv("SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	if text := os.Getenv("DURATION"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("DURATION: %v", err)
		}
	}
	plan := Draw(seed, duration)
	t.Logf("SEED=%d DURATION=%s: narrow range %t, standby under its own address %t, restart at the end %t",
		seed, duration, plan.Narrow, plan.TwoAddresses, plan.Restart)
	dir, err := os.MkdirTemp("", "ibfabric-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), plan, dir)
	t.Logf("what was done:\n%s", result.Table)
	for _, v := range result.Violations {
		t.Error(v)
	}
	if err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("logs and journals are in %s", dir)
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func TestASeedIsOnePlan(t *testing.T) {
	a, b, longer := Draw(7, time.Minute), Draw(7, time.Minute), Draw(7, 2*time.Minute)
	for i, steps := range a.Tracks {
		for n, s := range steps {
			if b.Tracks[i][n] != s || longer.Tracks[i][n] != s {
				t.Fatalf("track %d, step %d: %+v, %+v and %+v", i, n, s, b.Tracks[i][n], longer.Tracks[i][n])
			}
		}
	}
}

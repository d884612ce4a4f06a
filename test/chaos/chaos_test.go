package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/test/chaos/wallclock"
	"github.com/ibfabric/ibfabric/test/programs"
)

// TestChaos plays the plan of SEED for DURATION.
func TestChaos(t *testing.T) {
	list, duration, err := choose(os.Getenv("SEED"), os.Getenv("DURATION"))
	if err != nil {
		t.Fatal(err)
	}
	crowd := 0
	if text := os.Getenv("PODS"); text != "" {
		if crowd, err = strconv.Atoi(text); err != nil || crowd < 10 {
			t.Fatalf("PODS=%s: write how many pods there may be at a time, 10 or more", text)
		}
	}
	dir, err := os.MkdirTemp("", "ibfabric-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs, journals, the chronicle and the stories of violations are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	err = programs.BuildWith(t.Context(), dir, os.Getenv("IBFABRIC_RACE") != "", "cmd/ibfabric-controller/clock.go", wallclock.StandIn, "cmd/ibfabric-controller")
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range list {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel() // each has a cluster of its own, and all of them mostly wait
			plan := Draw(seed, duration)
			if crowd > 0 {
				plan = plan.Crowd(crowd)
			}
			playAndJudge(t, plan, filepath.Join(dir, "ibfabric-controller"), filepath.Join(dir, fmt.Sprint("seed-", seed)))
		})
	}
}

// shown is how many violations, and lines of the first one's story, fit on a screen.
const shown, storyLines = 10, 40

func playAndJudge(t *testing.T, plan Plan, program, dir string) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out := t.Output()
	replay := fmt.Sprintf("SEED=%d DURATION=%s make chaos", plan.Seed, plan.Duration)
	if plan.Pods > 300 {
		replay = fmt.Sprintf("PODS=%d %s", plan.Pods, replay)
	}
	fmt.Fprintf(out, "%s\n%s\n", replay, plan)
	result, err := Run(t.Context(), plan, program, dir, out)
	fmt.Fprintf(out, "\n%s\n", result.Table)
	if err != nil {
		t.Errorf("the run failed: %v", err)
	}
	for i, v := range result.Violations {
		if i == shown {
			t.Errorf("and %d more", len(result.Violations)-shown)
			break
		}
		t.Error(v)
	}
	if len(result.Stories) > 0 {
		fmt.Fprintf(out, "\nthe first of these, from the UFMs' journals and the watch (all of it is in story-1.txt):\n%s", excerpt(result.Stories[0], storyLines))
	}
	if t.Failed() {
		t.Logf("to see it again: %s", replay)
	}
}

const (
	// shortest is what TestChaos takes when nobody says how long; up to short it plays
	// seeds that are known, so that every run of all tests does the same.
	shortest, short = 10 * time.Second, 20 * time.Second
)

// knownSeeds are for short runs. Their plans restart the controllers at the end: what UFM
// refused is then asked for again at once, and not after a minute.
func knownSeeds() []uint64 { return []uint64{1, 11} }

// choose says which seeds to play, and for how long.
func choose(seedText, durationText string) (list []uint64, duration time.Duration, err error) {
	duration = shortest
	if durationText != "" {
		if duration, err = time.ParseDuration(durationText); err != nil || duration <= 0 {
			return nil, 0, fmt.Errorf("DURATION=%s: write it as 30s or 3m", durationText)
		}
	}
	switch {
	case seedText != "":
		for text := range strings.SplitSeq(seedText, ",") {
			seed, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return nil, 0, fmt.Errorf("SEED=%s: write whole numbers, with commas between them: %w", seedText, err)
			}
			list = append(list, seed)
		}
		return list, duration, nil
	case duration <= short:
		return knownSeeds(), duration, nil
	}
	return []uint64{rand.Uint64N(1_000_000)}, duration, nil
}

func TestShortRunsPlayKnownSeedsAndLongOnesAnyOther(t *testing.T) {
	for _, row := range []struct {
		seed, duration string
		known          bool
		want           time.Duration
	}{
		{"", "", true, shortest}, {"", "20s", true, short}, {"", "3m", false, 3 * time.Minute}, {"1234567", "", false, shortest}, {"1,2", "", false, shortest},
	} {
		list, duration, err := choose(row.seed, row.duration)
		if err != nil || slices.Equal(list, knownSeeds()) != row.known || duration != row.want || row.seed != "" && strings.ReplaceAll(fmt.Sprint(list), " ", ",") != "["+row.seed+"]" {
			t.Errorf("SEED=%s DURATION=%s: seeds %v for %s, %v", row.seed, row.duration, list, duration, err)
		}
	}
	for _, bad := range [][2]string{{"x", ""}, {"", "5"}, {"", "-5s"}} {
		if _, _, err := choose(bad[0], bad[1]); err == nil {
			t.Errorf("SEED=%s DURATION=%s was taken", bad[0], bad[1])
		}
	}
	for _, seed := range knownSeeds() {
		if !Draw(seed, shortest).Restart {
			t.Errorf("known seed %d does not restart the controllers", seed)
		}
	}
}

func TestASeedIsOnePlan(t *testing.T) {
	a, b, longer := Draw(7, time.Minute), Draw(7, time.Minute), Draw(7, 2*time.Minute)
	if a.String() != b.String() || a.String() != longer.String() {
		t.Errorf("%s\n%s\n%s", a, b, longer)
	}
	for i, steps := range a.Tracks {
		for n, s := range steps {
			if b.Tracks[i][n] != s || longer.Tracks[i][n] != s {
				t.Fatalf("track %d, step %d: %+v, %+v and %+v", i, n, s, b.Tracks[i][n], longer.Tracks[i][n])
			}
		}
	}
	if Draw(8, time.Minute).Tracks[0][0] == a.Tracks[0][0] {
		t.Error("another seed is the same plan")
	}
}

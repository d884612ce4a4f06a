package chaos

import (
	"math/rand/v2"
	"time"
)

// Kind is something that a step does.
type Kind string

// The kinds, by track.
const (
	PodsCreate     Kind = "pods created in a burst"
	PodsDelete     Kind = "pods deleted in a burst"
	PodsFinish     Kind = "pods finished"
	PodsRun        Kind = "pods said to run"
	PodsUnfinalize Kind = "finalizers taken away"

	NetworkEdit   Kind = "network edited"
	NetworkDelete Kind = "network deleted"
	NetworkMake   Kind = "networks made again"

	UFM503     Kind = "ufm: 503 for all"
	UFM500     Kind = "ufm: 500 for changes, at times"
	UFM400     Kind = "ufm: 400 for an add"
	UFMUnknown Kind = "ufm: 404 for single guids"
	UFMHang    Kind = "ufm: hangs"
	UFMLost    Kind = "ufm: answer lost"
	UFMLate    Kind = "ufm: applied late"
	UFMMangled Kind = "ufm: answer mangled"
	UFMSlow    Kind = "ufm: slow"
	UFMRestart Kind = "ufm: restarted"
	UFMWipe    Kind = "ufm: wiped"
	UFMFork    Kind = "ufm: standby renewed"
	UFMSwitch  Kind = "ufm: failed over"

	APIKill  Kind = "api server killed"
	APIPause Kind = "api server paused"

	ReplicaKill   Kind = "controller killed"
	ReplicaStop   Kind = "controller stopped"
	ReplicaPause  Kind = "controller paused"
	ReplicaAdd    Kind = "controller doubled"
	ReplicaRemove Kind = "controller taken away"
)

// Step is one thing to do. What it does depends on the world it meets: Seed makes its
// choices there.
type Step struct {
	At   time.Duration
	Kind Kind
	N    int           // how many pods, or calls to UFM
	For  time.Duration // how long it lasts
	Seed uint64
}

// random is the dice of one step.
func (s Step) random() *rand.Rand { return rand.New(rand.NewPCG(s.Seed, 0)) }

// Plan is a whole run.
type Plan struct {
	Seed     uint64
	Duration time.Duration
	// Narrow gives the controllers so few GUIDs that they come round again.
	Narrow bool
	// TwoAddresses shows the standby under its own address; else it takes over the
	// address of the one that failed, and nobody can tell.
	TwoAddresses bool
	// Restart ends the run with fresh controllers: otherwise those that lived through it
	// must get over it by themselves.
	Restart bool
	Tracks  [][]Step
}

// Draw makes the plan of a seed. A longer one begins as the shorter one does.
func Draw(seed uint64, duration time.Duration) Plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := Plan{
		Seed: seed, Duration: duration,
		Narrow: r.IntN(3) == 0, TwoAddresses: r.IntN(2) == 0, Restart: r.IntN(2) == 0,
	}
	for i, t := range tracks() {
		p.Tracks = append(p.Tracks, t.draw(rand.New(rand.NewPCG(seed, uint64(i+1))), duration))
	}
	return p
}

// track is a kind of trouble whose steps follow each other. Tracks run side by side.
type track struct {
	first       time.Duration
	least, most time.Duration // between two steps
	choices     []choice
}

type choice struct {
	kind        Kind
	weight      int
	few, many   int
	least, most time.Duration
}

func (t track) draw(r *rand.Rand, duration time.Duration) []Step {
	var steps []Step
	for at := t.first; at < duration; at += between(r, t.least, t.most) {
		c := t.choose(r)
		steps = append(steps, Step{
			At: at, Kind: c.kind, N: c.few + r.IntN(c.many-c.few+1),
			For: between(r, c.least, c.most), Seed: r.Uint64(),
		})
	}
	return steps
}

func (t track) choose(r *rand.Rand) choice {
	sum := 0
	for _, c := range t.choices {
		sum += c.weight
	}
	n := r.IntN(sum)
	for _, c := range t.choices {
		if n -= c.weight; n < 0 {
			return c
		}
	}
	return t.choices[0]
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

const (
	second = time.Second
	milli  = time.Millisecond
)

func tracks() []track {
	return []track{
		{0, 200 * milli, 900 * milli, []choice{
			{PodsCreate, 8, 10, 60, 0, 0},
			{PodsDelete, 6, 5, 60, 0, 0},
			{PodsFinish, 2, 1, 15, 0, 0},
			{PodsRun, 1, 5, 30, 0, 0},
			{PodsUnfinalize, 2, 1, 10, 0, 0},
		}},
		{2 * second, 700 * milli, 3 * second, []choice{
			{NetworkEdit, 6, 1, 1, 0, 0},
			{NetworkDelete, 2, 1, 1, 0, 0},
			{NetworkMake, 3, 1, 1, 0, 0},
		}},
		{2 * second, 300 * milli, 1500 * milli, []choice{
			{UFM503, 3, 0, 0, 500 * milli, 3 * second},
			{UFM500, 3, 0, 0, second, 4 * second},
			{UFM400, 3, 1, 4, 0, 0},
			{UFMUnknown, 3, 0, 0, 500 * milli, 3 * second},
			{UFMHang, 3, 1, 3, 0, 0},
			{UFMLost, 4, 1, 4, 0, 0},
			// Later than half the hold time would be a UFM whose queue is longer than any
			// hold: no controller can know of what is in there.
			{UFMLate, 4, 1, 4, 200 * milli, holdTime / 2},
			{UFMMangled, 4, 1, 3, 0, 0},
			{UFMSlow, 3, 200, 600, second, 3 * second},
			{UFMRestart, 2, 0, 0, 100 * milli, 2 * second},
			{UFMWipe, 1, 0, 0, 0, 0},
			{UFMFork, 2, 0, 0, 0, 0},
			{UFMSwitch, 2, 0, 0, 0, 1500 * milli},
		}},
		{5 * second, 5 * second, 14 * second, []choice{
			{APIKill, 1, 0, 0, 100 * milli, 2 * second},
			{APIPause, 1, 0, 0, 500 * milli, 6 * second},
		}},
		// A new leader waits lease and UFM timeout before it removes or gives again: some
		// live long enough for that.
		{3 * second, 3 * second, 9 * second, []choice{
			{ReplicaKill, 4, 0, 0, 0, 0},
			{ReplicaStop, 2, 0, 0, 0, 0},
			{ReplicaPause, 4, 0, 0, 2 * second, 7 * second},
			{ReplicaAdd, 3, 0, 0, 0, 0},
			{ReplicaRemove, 1, 0, 0, 0, 0},
		}},
	}
}

package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Kind is something that a step does: what it happens to, and what happens.
type Kind string

// The kinds, by track.
const (
	PodsCreate     Kind = "pods/created"
	PodsDelete     Kind = "pods/deleted"
	PodsFinish     Kind = "pods/finished"
	PodsRun        Kind = "pods/said to run"
	PodsUnfinalize Kind = "pods/finalizer taken away"

	NetworkEdit   Kind = "networks/edited"
	NetworkDelete Kind = "networks/deleted"
	NetworkMake   Kind = "networks/missing ones made"

	UFM503     Kind = "ufm/503 for all"
	UFM500     Kind = "ufm/500 at times"
	UFM400     Kind = "ufm/400 for an add"
	UFMUnknown Kind = "ufm/404 for some guids"
	UFMHang    Kind = "ufm/hangs"
	UFMLost    Kind = "ufm/answer lost"
	UFMLate    Kind = "ufm/applied late"
	UFMMangled Kind = "ufm/answer mangled"
	UFMSlow    Kind = "ufm/slow"
	UFMRestart Kind = "ufm/restarted"
	UFMWipe    Kind = "ufm/wiped"
	UFMFork    Kind = "ufm/standby renewed"
	UFMSwitch  Kind = "ufm/failed over"
	UFMExpire  Kind = "ufm/certificate expired"
	UFMCalm    Kind = "ufm/left in peace"

	APIKill  Kind = "api server/killed"
	APIPause Kind = "api server/paused"
	EtcdSlow Kind = "api server/etcd slow"

	NodeLose   Kind = "nodes/lost"
	NodeReboot Kind = "nodes/rebooted"
	NodeDelete Kind = "nodes/deleted"

	ReplicaKill   Kind = "controllers/killed"
	ReplicaStop   Kind = "controllers/stopped"
	ReplicaPause  Kind = "controllers/paused"
	ReplicaAdd    Kind = "controllers/doubled"
	ReplicaRemove Kind = "controllers/taken away"
	ReplicaClock  Kind = "controllers/clock set"
	LeaseDelete   Kind = "controllers/lease deleted"
)

// about is what a kind happens to.
func (k Kind) about() (group, what string) {
	group, what, _ = strings.Cut(string(k), "/")
	return group, what
}

// Step is one thing to do. What it does depends on the world it meets: Seed makes its
// choices there.
type Step struct {
	At   time.Duration
	Kind Kind
	N    int           // percent of the pods there are (to create: there may be), or calls to UFM
	For  time.Duration // how long it lasts
	Seed uint64
}

// random is the dice of one step.
func (s Step) random() *rand.Rand { return rand.New(rand.NewPCG(s.Seed, 0)) }

// Plan is a whole run.
type Plan struct {
	Seed     uint64
	Duration time.Duration
	// GUIDs are so few that they come round again and again: Pods, the most alive at a
	// time, need nearly all of them, and what is held is missing.
	GUIDs, Pods int
	// TwoAddresses shows the standby under its own address; else it takes over the
	// address of the one that failed, and nobody can tell.
	TwoAddresses bool
	// Replicas is how many controllers there are to begin with.
	Replicas int
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
		TwoAddresses: r.IntN(2) == 0, Restart: r.IntN(2) == 0, Replicas: 1 + r.IntN(3),
	}
	size := [][2]int{{80, 60}, {110, 90}, {350, 300}}[r.IntN(3)]
	p.GUIDs, p.Pods = size[0], size[1]
	for i, t := range tracks() {
		p.Tracks = append(p.Tracks, t.draw(rand.New(rand.NewPCG(seed, uint64(i+1))), duration))
	}
	return p
}

// Crowd makes a plan one for so many pods at a time.
func (p Plan) Crowd(pods int) Plan {
	p.Pods, p.GUIDs = pods, pods+pods/5
	return p
}

// Names is how many names there are for pods: more than pods, so that they seldom come
// again at once.
func (p Plan) Names() int { return max(400, p.Pods+p.Pods/3) }

func (p Plan) String() string {
	standby, end := "behind the same address", "live on"
	if p.TwoAddresses {
		standby = "under its own address"
	}
	if p.Restart {
		end = "start anew at the end"
	}
	return fmt.Sprintf("%d GUIDs for up to %d pods, hold %s; standby UFM %s; %d controllers at first, which %s",
		p.GUIDs, p.Pods, holdTime, standby, p.Replicas, end)
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
			{PodsCreate, 8, 4, 20, 0, 0},
			{PodsDelete, 5, 5, 50, 0, 0},
			{PodsFinish, 2, 1, 15, 0, 0},
			{PodsRun, 2, 5, 30, 0, 0},
			{PodsUnfinalize, 2, 1, 10, 0, 0},
		}},
		{2 * second, 700 * milli, 3 * second, []choice{
			{NetworkEdit, 6, 1, 1, 0, 0},
			{NetworkDelete, 2, 1, 1, 0, 0},
			{NetworkMake, 3, 1, 1, 0, 0},
		}},
		{2 * second, 300 * milli, 1500 * milli, []choice{
			// Else hardly a pod would get as far as having something to lose.
			{UFMCalm, 8, 0, 0, second, 4 * second},
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
			// To an old standby one time in four only: members that no row explains any more
			// keep their GUIDs from everybody, and a long run would have none left.
			{UFMSwitch, 2, 0, 3, 0, 1500 * milli},
			{UFMExpire, 1, 0, 0, 500 * milli, 3 * second},
		}},
		{5 * second, 5 * second, 14 * second, []choice{
			{APIKill, 1, 0, 0, 100 * milli, 2 * second},
			{APIPause, 1, 0, 0, 500 * milli, 6 * second},
			{EtcdSlow, 1, 0, 0, 2 * second, 6 * second},
		}},
		// A new leader waits lease and UFM timeout before it removes or gives again: some
		// live long enough for that.
		{3 * second, 3 * second, 12 * second, []choice{
			{ReplicaKill, 4, 0, 0, 0, 0},
			{ReplicaStop, 2, 0, 0, 0, 0},
			{ReplicaPause, 4, 0, 0, 2 * second, 7 * second},
			{ReplicaAdd, 3, 0, 0, 0, 0},
			{ReplicaRemove, 1, 0, 0, 0, 0},
		}},
		// One at a time: with none Ready nothing would come free.
		{3 * second, 3 * second, 8 * second, []choice{
			{NodeLose, 3, 30, 90, 8 * second, 20 * second},
			{NodeReboot, 2, 30, 90, 4 * second, 16 * second},
			{NodeDelete, 1, 30, 90, 6 * second, 16 * second},
		}},
		{2 * second, 1 * second, 6 * second, []choice{
			{ReplicaClock, 1, 0, 0, 0, 0},
		}},
		// By hand: who led goes on until its renewal is due, and may not know of the next.
		{6 * second, 6 * second, 20 * second, []choice{
			{LeaseDelete, 1, 0, 0, 0, 0},
		}},
	}
}

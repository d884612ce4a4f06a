package memory

import (
	"fmt"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Clock is one that stands until it is moved.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock stands at a time.
func NewClock(t time.Time) *Clock { return &Clock{t: t} }

// Now is what it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Pass moves it on.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// The partitions of the story.
const (
	Storage pkey.PKey = 0x20
	TeamA   pkey.PKey = 0x1000
	TeamB   pkey.PKey = 0x2000
)

// Story is what happened in one: two tenants and their storage, a pod that waits, one that
// was refused, a member that nobody explains.
type Story struct {
	*Fabric
	Clock   *Clock
	Waiting *api.Pod // team-b/infer-2
	Refused *api.Pod // team-c/probe
}

// Tell tells a story up to a morning in March.
func Tell() *Story {
	s := &Story{Clock: NewClock(time.Date(2026, 3, 2, 8, 12, 40, 0, time.UTC))}
	s.Fabric = New(s.Clock.Now)
	s.AddPartition(Storage, "storage")
	s.AddPartition(TeamA, "team-a")
	s.AddPartition(TeamB, "team-b")
	s.AddPartition(0x7100, "")
	s.nodesOf()
	s.podsOf()
	s.strangersOf()
	s.noticesOf()
	return s
}

func (s *Story) nodesOf() {
	since := s.Clock.Now().Add(-81 * time.Hour)
	for i, needed := range []int{3, 3, 4, 97, 2} {
		n := api.Node{Name: fmt.Sprintf("gpu-%03d", i+1), Needed: needed, Limit: TableEntries, Pods: 1 + i%2, PKeys: []pkey.PKey{Storage, TeamA}, Known: true, Ready: true, Since: since}
		if needed > 50 {
			n.PKeys = nil
			for k := range pkey.PKey(needed - 1) {
				n.PKeys = append(n.PKeys, 0x3000+k)
			}
		}
		s.AddNode(n)
	}
	s.AddNode(api.Node{Name: "gpu-017", Limit: TableEntries, Held: 8, Since: s.Clock.Now().Add(-20 * time.Minute)})
}

func (s *Story) podsOf() {
	for i := range 3 {
		p := s.AddPod("team-a", fmt.Sprintf("train-%d", i), fmt.Sprintf("gpu-%03d", i+1), 8, TeamA, Storage)
		s.Clock.Pass(230 * time.Millisecond)
		s.Configure(p)
		s.ChangePod(p, report)
		s.Clock.Pass(7 * time.Second)
	}
	for i := range 2 {
		p := s.AddPod("team-b", fmt.Sprintf("infer-%d", i), fmt.Sprintf("gpu-%03d", i+4), 1, TeamB, Storage)
		s.Clock.Pass(215 * time.Millisecond)
		s.Configure(p)
		s.Clock.Pass(41 * time.Minute)
	}
	s.Refused = s.AddPod("team-c", "probe", "", 0, TeamA)
	s.ChangePod(s.Refused, func(p *api.Pod) {
		p.State, p.Interfaces, p.Missing = api.PodRefused, 1, nil
		p.Why = "PKey 0x1000 belongs to Partition team-a, which does not grant namespace team-c; ask for the label that it selects, or name another Partition"
		p.Timeline = append(p.Timeline[:1], api.Moment{At: s.Clock.Now(), Event: "pod.refused", What: p.Why})
	})
	s.Clock.Pass(4 * time.Minute)
	s.Waiting = s.AddPod("team-b", "infer-2", "gpu-005", 2, TeamB, Storage)
	s.ChangePod(s.Waiting, func(p *api.Pod) { p.Why = "UFM has yet to be told to take in 2 GUIDs: it answers another change" })
	s.AddStep(api.Step{Verb: api.VerbAdd, PKey: TeamB, Membership: "full, index 0", Count: 2, GUIDs: s.Waiting.GUIDs, Pods: []api.PodName{s.Waiting.PodName}, Why: "pods wait for it, or run with it and UFM has it not as it should be", Waits: "UFM answers another change"})
	s.AddStep(api.Step{Verb: api.VerbAdd, PKey: Storage, Membership: "limited", Count: 2, GUIDs: s.Waiting.GUIDs, Pods: []api.PodName{s.Waiting.PodName}, Why: "pods wait for it, or run with it and UFM has it not as it should be", Waits: "its turn"})
	s.Clock.Pass(48 * time.Second)
}

// report is what Multus says of a pod's VFs.
func report(p *api.Pod) {
	for i := range p.Attached {
		a := &p.Attached[i]
		a.VF = &api.VF{Node: p.Node, Interface: a.Interface, PCI: fmt.Sprintf("0000:%02x:00.2", 0x17+8*i), RDMA: fmt.Sprintf("mlx5_%d", 10+i), GUID: a.GUID, Agrees: true}
	}
}

func (s *Story) strangersOf() {
	const stray guid.GUID = 0x0200000000000f11
	s.AddMember(api.Member{PKey: TeamA, GUID: stray, Kind: api.Unclaimed, Shown: "full"})
	s.AddMember(api.Member{PKey: Storage, GUID: 0xe41d2d0300a1b2c3, Kind: api.Foreign, Shown: "full, index 0"})
	s.AddMember(api.Member{PKey: 0x7100, GUID: 0xe41d2d0300a1b2c4, Kind: api.Foreign, Shown: "limited"})
	s.AddDrift(api.Drift{
		Kind: api.DriftUnclaimed, PKey: TeamA, GUID: stray, What: "UFM shows it, it is of this controller's GUID range, and no row of the ledger explains it",
		Mend: "if it is no other cluster's, have it removed: ibfabric reclaim",
	})
}

func (s *Story) noticesOf() {
	s.Note(api.Entry{
		Verb: api.VerbRemove, PKey: TeamB, Count: 1, GUIDs: []guid.GUID{FirstGUID + 25}, Took: api.Duration(10 * time.Second), Outcome: api.Unknown,
		Error: "POST /ufmRest/actions/remove_guids_from_pkey: no answer within 10s", Why: "their pods ended, or name them no longer", At: s.Clock.Now().Add(-5 * time.Minute), Times: 2,
	})
	s.Change(func(o *api.Overview) {
		o.UFM.Full.At = s.Clock.Now().Add(-12 * time.Second)
		o.StuckHolds, o.DriftFound, o.DriftRepaired = 8, 3, 2
		o.Notices = []string{
			"Members in UFM that are of this controller's GUID range and belong to no pod: 1. If they are no other cluster's, have them removed: ibfabric reclaim.",
			"GUIDs held for nodes that are gone or not Ready: 8. For a node that is gone for good: ibfabric release.",
			"Pods that get nothing as they are written: 1. Each has an Event that says what to change.",
		}
	})
}

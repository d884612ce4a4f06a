// Package memory is a fabric that exists in memory only, for the console's pages to show:
// small, stateful, and quick with a hundred thousand members. It says what the controller's
// console would say, and nothing of it is checked.
package memory

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// FirstGUID is the first that pods get.
const FirstGUID guid.GUID = 0x0200000000000000

// TableEntries is the size of each node's PKey table.
const TableEntries = 128

// Fabric is one. It is safe for concurrent use.
type Fabric struct {
	now func() time.Time

	mu         sync.Mutex // protects what follows
	failure    *api.Error
	overview   api.Overview
	partitions map[pkey.PKey]*api.Partition
	members    map[pkey.PKey][]api.Member // by GUID
	pods       []*api.Pod                 // by name
	nodes      []api.Node
	drift      []api.Drift
	plan       []api.Step
	journal    []api.Entry // newest first
	next       guid.GUID
	version    uint64
	watchers   map[chan api.Tick]bool
}

// New makes an empty fabric that its controller leads since an hour.
func New(now func() time.Time) *Fabric {
	f := &Fabric{
		now: now, next: FirstGUID, partitions: map[pkey.PKey]*api.Partition{}, members: map[pkey.PKey][]api.Member{},
		watchers: map[chan api.Tick]bool{},
	}
	began := now().Add(-time.Hour)
	f.overview = api.Overview{
		Fabric: "compute", Namespace: "ibfabric-system", Version: "v0.9.0", Policy: "sync", PKeys: "0x1..0x7ffe",
		GUIDs: []string{"02:00:00:00:00:00:00:00..02:ff:ff:ff:ff:ff:ff:ff"}, Hold: api.Duration(10 * time.Minute),
		Leader: api.Leader{Identity: "ibfabric-controller-6f9c7b5d4-x2x7q", Since: began, Adopted: true},
		UFM: api.UFM{
			Target: "https://ufm-a,ufm-b", Shows: true, Address: "https://ufm-a",
			Reads: api.Health{OK: true}, Writes: api.Health{OK: true},
			Full: api.FullRead{At: now().Add(-12 * time.Second), Took: api.Duration(340 * time.Millisecond), From: "https://ufm-a", Every: api.Duration(30 * time.Second)},
			Calls: []api.Call{
				{Op: "add", Count: 412, Mean: api.Duration(204 * time.Millisecond), Max: api.Duration(1320 * time.Millisecond), Last: api.Duration(201 * time.Millisecond), LastAt: now().Add(-48 * time.Second)},
				{Op: "remove", Count: 388, Failed: 1, Mean: api.Duration(211 * time.Millisecond), Max: api.Duration(10 * time.Second), Last: api.Duration(198 * time.Millisecond), LastAt: now().Add(-5 * time.Minute)},
				{Op: "read", Count: 96, Mean: api.Duration(31 * time.Millisecond), Max: api.Duration(88 * time.Millisecond), Last: api.Duration(29 * time.Millisecond), LastAt: now().Add(-47 * time.Second)},
				{Op: "read-all", Count: 120, Mean: api.Duration(338 * time.Millisecond), Max: api.Duration(611 * time.Millisecond), Last: api.Duration(340 * time.Millisecond), LastAt: now().Add(-12 * time.Second)},
			},
		},
		InSync: true,
	}
	return f
}

// Fail makes every answer an error, until it is told nil.
func (f *Fabric) Fail(err *api.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err
}

// Change changes what the overview says beside its counts.
func (f *Fabric) Change(change func(*api.Overview)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.overview)
	f.tell(api.TopicOverview)
}

// AddPartition says that there is one, by a Partition object of that name or without.
func (f *Fabric) AddPartition(p pkey.PKey, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.partitions[p] = &api.Partition{PKey: p, Name: name, InUFM: true, InScope: true, Known: true, From: "https://ufm-a"}
	f.tell(api.TopicPartitions)
}

// ChangePartition changes what is said of one, beside its counts.
func (f *Fabric) ChangePartition(p pkey.PKey, change func(*api.Partition)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.partitions[p])
	f.tell(api.TopicPartitions)
}

// AddMember puts a member in UFM that is nobody's here.
func (f *Fabric) AddMember(m api.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.putMember(m)
	f.tell(api.TopicPartitions, api.TopicOverview)
}

func (f *Fabric) putMember(m api.Member) {
	list := f.members[m.PKey]
	at, found := slices.BinarySearchFunc(list, m.GUID, func(m api.Member, g guid.GUID) int { return cmp.Compare(m.GUID, g) })
	if found {
		list[at] = m
		return
	}
	f.members[m.PKey] = slices.Insert(list, at, m)
}

// Fill puts n members of one pod each into a partition, all in UFM since an hour.
func (f *Fabric) Fill(p pkey.PKey, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := f.now().Add(-time.Hour)
	for i := range n {
		pod := api.PodName{Namespace: "team-a", Name: fmt.Sprintf("train-%d", i)}
		f.members[p] = append(f.members[p], api.Member{
			PKey: p, GUID: f.next, Kind: api.Ours, Wanted: "full, index 0", Shown: "full, index 0", State: api.Assigned, Since: since,
			Pod: &pod, Interface: "net1", Node: fmt.Sprintf("gpu-%04d", i/8),
		})
		f.next++
	}
	f.tell(api.TopicPartitions, api.TopicOverview)
}

// AddNode makes a node known.
func (f *Fabric) AddNode(n api.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = append(f.nodes, n)
	f.tell(api.TopicNodes, api.TopicOverview)
}

// AddDrift reports a difference.
func (f *Fabric) AddDrift(d api.Drift) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drift = append(f.drift, d)
	f.tell(api.TopicDrift, api.TopicOverview)
}

// AddStep makes a change due.
func (f *Fabric) AddStep(s api.Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = append(f.plan, s)
	f.tell(api.TopicPlan)
}

// Note puts an entry into the journal.
func (f *Fabric) Note(e api.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(e)
}

func (f *Fabric) note(e api.Entry) {
	e.ID, e.Leader = uint64(len(f.journal)+1), f.overview.Leader.Identity
	if e.At.IsZero() {
		e.At = f.now()
	}
	f.journal = slices.Insert(f.journal, 0, e)
	f.tell(api.TopicJournal, api.TopicOverview)
}

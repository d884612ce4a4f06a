package memory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Gate is the controller's.
const Gate = "ibfabric.io/compute"

func comparePods(p *api.Pod, name string) int { return strings.Compare(p.PodName.String(), name) }

// AddPod makes a pod that waits for its interfaces, each in the same partitions: the first
// as full member, the others as limited ones.
func (f *Fabric) AddPod(namespace, name, node string, interfaces int, pkeys ...pkey.PKey) *api.Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	p := &api.Pod{
		PodSummary: api.PodSummary{
			PodName: api.PodName{Namespace: namespace, Name: name, UID: fmt.Sprintf("5d0c1f5e-0000-4000-8000-%012d", len(f.pods)+1)},
			State:   api.PodWaiting, Since: now, Why: "UFM has yet to be told to take in " + fmt.Sprint(interfaces) + " of its GUIDs", Node: node, Interfaces: interfaces, PKeys: pkeys,
		},
		Created: now, Exists: true, Phase: "Pending", Gate: api.Gate{Name: Gate, Closed: true},
		Annotation: fmt.Sprintf(`[{"name":"rail","namespace":%q}]`, namespace),
		Missing:    []string{"UFM has yet to be told to take in its GUIDs", "then its annotation is written and its gate lifted"},
		Timeline: []api.Moment{
			{At: now, Event: "pod.created", What: "the pod was created"},
			{At: now, Event: "guid.assigned", What: fmt.Sprintf("it got %d GUIDs", interfaces)},
		},
	}
	for i := range interfaces {
		f.attach(p, fmt.Sprintf("net%d", i+1), pkeys)
	}
	at, _ := slices.BinarySearchFunc(f.pods, p.PodName.String(), comparePods)
	f.pods = slices.Insert(f.pods, at, p)
	f.tell(api.TopicPods, api.TopicPartitions, api.TopicGUIDs, api.TopicOverview)
	return p
}

func (f *Fabric) attach(p *api.Pod, ifname string, pkeys []pkey.PKey) {
	g := f.next
	f.next++
	a := api.PodInterface{
		Interface: ifname, Network: p.Namespace + "/rail", Granted: true, Grant: "Partition " + p.Namespace + " grants its namespace", GUID: g,
		Ledger:  &api.LedgerRow{State: api.Assigned, Since: f.now(), Stored: true, Node: p.Node},
		Says:    &api.Annotation{},
		Missing: "UFM has yet to be told to take it in",
	}
	for i, k := range pkeys {
		c := api.Claim{PKey: k, Membership: "limited", IPoIB: true}
		if i == 0 {
			c.Membership, c.Index0 = "full", true
		}
		a.Wanted = append(a.Wanted, c)
		a.UFM = append(a.UFM, api.Standing{PKey: k, Wanted: wanted(c), Known: true})
		owner := p.PodName
		f.putMember(api.Member{
			PKey: k, GUID: g, Kind: api.Ours, Wanted: wanted(c), State: api.Assigned, Since: f.now(), Pod: &owner, Interface: ifname, Node: p.Node,
			Missing: "UFM has yet to be told to take it in",
		})
	}
	a.Ledger.Claims = a.Wanted
	p.GUIDs = append(p.GUIDs, g)
	p.Attached = append(p.Attached, a)
}

func wanted(c api.Claim) string {
	if c.Index0 {
		return c.Membership + ", index 0"
	}
	return c.Membership
}

// Configure lets UFM take in a pod's GUIDs, and the pod go on.
func (f *Fabric) Configure(p *api.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	p.State, p.Since, p.Why, p.Missing, p.Phase, p.Gate.Closed = api.PodConfigured, now, "", nil, "Running", false
	for i := range p.Attached {
		f.settle(p, &p.Attached[i], now)
	}
	for _, k := range p.PKeys {
		f.note(api.Entry{
			Verb: api.VerbAdd, PKey: k, Membership: f.modeOf(p, k), Count: len(p.GUIDs), GUIDs: p.GUIDs, Pods: []api.PodName{p.PodName},
			Took: api.Duration(201 * time.Millisecond), Outcome: api.Done, Why: "their pods wait for it", From: "https://ufm-a", At: now,
		})
	}
	p.Timeline = append(p.Timeline,
		api.Moment{At: now, Event: "member.added", What: "UFM holds all of its memberships"},
		api.Moment{At: now, Event: "pod.configured", What: "its annotation was written and its gate lifted"})
	f.tell(api.TopicPods, api.TopicPartitions, api.TopicGUIDs, api.TopicOverview)
}

func (f *Fabric) settle(p *api.Pod, a *api.PodInterface, now time.Time) {
	a.Missing, a.Says = "", &api.Annotation{Configured: true, GUID: a.GUID, PKeys: a.Wanted[0].PKey.String(), Agrees: true}
	for i := range a.UFM {
		s := &a.UFM[i]
		s.Shown, s.Since, s.From = s.Wanted, now, "https://ufm-a"
		owner := p.PodName
		f.putMember(api.Member{
			PKey: s.PKey, GUID: a.GUID, Kind: api.Ours, Wanted: s.Wanted, Shown: s.Wanted, State: api.Assigned, Since: now,
			Pod: &owner, Interface: a.Interface, Node: p.Node,
		})
	}
}

func (f *Fabric) modeOf(p *api.Pod, k pkey.PKey) string {
	for _, s := range p.Attached[0].UFM {
		if s.PKey == k {
			return s.Wanted
		}
	}
	return ""
}

// ChangePod changes what is said of a pod.
func (f *Fabric) ChangePod(p *api.Pod, change func(*api.Pod)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(p)
	f.tell(api.TopicPods, api.TopicOverview)
}

// RemovePod takes a pod and its members away.
func (f *Fabric) RemovePod(p *api.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pods = slices.DeleteFunc(f.pods, func(other *api.Pod) bool { return other == p })
	for _, k := range p.PKeys {
		f.members[k] = slices.DeleteFunc(f.members[k], func(m api.Member) bool { return slices.Contains(p.GUIDs, m.GUID) })
	}
	f.tell(api.TopicPods, api.TopicPartitions, api.TopicGUIDs, api.TopicOverview)
}

// rowOf finds the owner of a GUID.
func (f *Fabric) rowOf(g guid.GUID) *api.GUID {
	for _, p := range f.pods {
		for _, a := range p.Attached {
			if a.GUID == g && a.Ledger != nil {
				return &api.GUID{GUID: g, LedgerRow: *a.Ledger, Pod: p.PodName, Interface: a.Interface, Network: a.Network, UFM: slices.Clone(a.UFM)}
			}
		}
	}
	return nil
}

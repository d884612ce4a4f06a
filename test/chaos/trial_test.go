package chaos

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	someGUID  guid.GUID = 0x0200000000000007
	somePKey  pkey.PKey = 0x5
	otherPKey pkey.PKey = 0x6
)

func someMode() pkey.Mode { return pkey.Mode{Index0: true} }

// trial is a run told by hand. Its clock is the number of seconds since start.
type trial struct {
	start   time.Time
	history *history
	said    *networks
	nodes   *nodes
	first   *ufm
	standby *ufm
	past    map[*ufm]*presence
	spells  []spell
	wipes   []time.Time
}

func newTrial() *trial {
	x := &trial{start: time.Now().Add(-time.Hour), history: newHistory("gate", &chronicle{}), first: &ufm{name: "ufm-0"}, standby: &ufm{name: "ufm-1"}}
	x.said = &networks{said: map[types.NamespacedName][]saying{{Namespace: "ns", Name: "rail"}: {{x.start, []attach.Claim{{PKey: somePKey, Mode: someMode()}}}}}}
	x.nodes = newNodes(nil, &chronicle{})
	for name := range x.nodes.ready {
		x.nodes.ready[name] = []span{{from: x.start}}
	}
	x.past = map[*ufm]*presence{}
	for _, u := range []*ufm{x.first, x.standby} {
		x.past[u] = &presence{of: u, stays: map[place][]stay{{foreignGUID, somePKey}: {{}}}}
	}
	x.spells = []spell{{of: x.first, from: x.start}}
	return x
}

func (x *trial) at(second float64) time.Time {
	return x.start.Add(time.Duration(second * float64(time.Second)))
}

// made notes that a pod was created, gated or not.
func (x *trial) made(uid string, at float64) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: uid, UID: types.UID(uid), CreationTimestamp: metav1.NewTime(x.at(at)),
		Annotations: map[string]string{attach.NetworksAnnotation: "rail"},
	}}
	x.history.take(pod, x.at(at))
	return pod
}

// configured notes that a pod was released, and lives.
func (x *trial) configured(pod *corev1.Pod, at float64) {
	x.configuredWith(pod, at, someGUID, somePKey)
}

func (x *trial) configuredWith(pod *corev1.Pod, at float64, g guid.GUID, p pkey.PKey) {
	pod.Annotations[attach.NetworksAnnotation] = `[{"name":"rail","cni-args":{"guid":"` + g.String() +
		`","mellanox.infiniband.app":"configured","pkey":"` + p.String() + `"}}]`
	x.history.take(pod, x.at(at))
}

// onLostNode is a pod whose node is lost when it ends, at 10, and back at a time.
func (x *trial) onLostNode(back float64, booted bool) {
	a := x.made("a", 0)
	a.Spec.NodeName = nodeNames()[0]
	x.add(1)
	x.configured(a, 2)
	x.nodes.leaves(a.Spec.NodeName, x.at(9))
	x.nodes.returns(a.Spec.NodeName, x.at(back), booted)
	x.ended(a, 10)
	x.remove(10.5)
}

func (x *trial) ended(pod *corev1.Pod, at float64) {
	x.history.mayEnd(pod.UID, x.at(at), "ends")
	x.history.end(x.history.lives[pod.UID], x.at(at), true)
}

// call is a change of a UFM, which came and was done at once.
func (x *trial) call(u *ufm, op ufmsim.Op, p pkey.PKey, at float64) {
	e := ufmsim.Entry{Seq: uint64(at * 1000), Op: op, PKey: p, Received: x.at(at), Changed: x.at(at)}
	if op != ufmsim.OpPut && op != ufmsim.OpWipe { // an empty put drives everybody out
		e.Members = []pkey.Member{{GUID: someGUID, Mode: someMode()}}
	}
	x.past[u].play(e)
}

func (x *trial) add(at float64)    { x.call(x.first, ufmsim.OpAdd, somePKey, at) }
func (x *trial) remove(at float64) { x.call(x.first, ufmsim.OpRemove, somePKey, at) }

// late is an Add that came before the GUID was put in and taken out, and was done after.
func (x *trial) late(came, done float64) {
	x.add(came + 1)
	x.remove(came + 2)
	x.delayed(ufmsim.OpAdd, came, done)
}

// delayed is a call that came before it was done.
func (x *trial) delayed(op ufmsim.Op, came, done float64) {
	x.past[x.first].play(ufmsim.Entry{Op: op, PKey: somePKey, Received: x.at(came), Changed: x.at(done), Members: []pkey.Member{{GUID: someGUID, Mode: someMode()}}})
}

// brought is a GUID that a failover brings back, soon after its pod has ended and it was out.
func (x *trial) brought(at float64) {
	former := x.made("former", at-20)
	x.add(at - 19)
	x.configured(former, at-18)
	x.ended(former, at-2)
	x.remove(at - 1.5)
	x.failOver(somePKey, at)
}

// given is a pod that comes before the GUID is put in for it, and goes on.
func (x *trial) given(u *ufm, at float64) {
	pod := x.made("next", at-0.5)
	x.call(u, ufmsim.OpAdd, somePKey, at)
	x.configured(pod, at+1)
}

// failOver lets the standby answer, which has the GUID in a partition since before.
func (x *trial) failOver(p pkey.PKey, at float64) {
	x.past[x.standby].stays[place{someGUID, p}] = []stay{{mode: someMode(), put: x.at(0)}}
	x.spells[0].to = x.at(at)
	x.spells = append(x.spells, spell{of: x.standby, from: x.at(at)})
}

// failBack lets the first one answer again.
func (x *trial) failBack(at float64) {
	x.spells[1].to = x.at(at)
	x.spells = append(x.spells, spell{of: x.first, from: x.at(at)})
}

func (x *trial) found() string {
	j := &judge{history: x.history, said: x.said, nodes: x.nodes, spells: x.spells, wipes: x.wipes, past: x.past}
	j.index()
	var all []string
	for _, v := range j.rules() {
		all = append(all, v.String())
	}
	return strings.Join(all, "\n")
}

package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// fabric is a Controller whose ledger is real and whose UFM is a map.
type fabric struct {
	ledger  *ledger.Ledger
	ufm     map[pkey.PKey]map[guid.GUID]pkey.Mode
	pods    map[types.NamespacedName]*corev1.Pod
	nodes   []corev1.Node
	uses    []budget.Use
	waits   []controller.Wait
	reasons []controller.Reason
	wentOn  map[types.UID]bool
	status  controller.Status
	cfg     controller.Config
}

const firstGUID = guid.GUID(0x0200000000000000)

func mode0() pkey.Mode { return pkey.Mode{Index0: true} }

func newFabric() *fabric {
	return &fabric{
		ledger: ledger.New(), ufm: map[pkey.PKey]map[guid.GUID]pkey.Mode{}, pods: map[types.NamespacedName]*corev1.Pod{}, wentOn: map[types.UID]bool{},
		status: controller.Status{Leading: true, Adopted: true, Shows: true, Since: time.Unix(1000, 0)},
		cfg:    controller.Config{Fabric: "fabric", GUIDs: []guid.Range{{First: firstGUID, Last: firstGUID + 0xffffff}}, Hold: time.Minute},
	}
}

// put makes pod number i with one GUID in a partition, in UFM too.
func (f *fabric) put(i int, p pkey.PKey) ledger.Row {
	r := ledger.Row{
		GUID: firstGUID + guid.GUID(i), Pod: types.NamespacedName{Namespace: fmt.Sprint("team-", i%10), Name: fmt.Sprintf("train-%06d", i)},
		UID: types.UID(fmt.Sprint("uid-", i)), Interface: "net1", Network: types.NamespacedName{Namespace: "default", Name: "rail1"},
		Claims: []attach.Claim{{PKey: p, Mode: mode0(), IPoIB: true}}, Node: fmt.Sprint("node-", i%1000), Since: time.Unix(1000, 0), Told: true, Sent: true, Seen: true,
	}
	f.ledger.Put(r)
	f.pods[r.Pod] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: r.UID}}
	f.show(p, r.GUID, mode0())
	return r
}

func (f *fabric) show(p pkey.PKey, g guid.GUID, m pkey.Mode) {
	if f.ufm[p] == nil {
		f.ufm[p] = map[guid.GUID]pkey.Mode{}
	}
	f.ufm[p][g] = m
}

func (f *fabric) answers() *Answers {
	about := About{Identity: "me", Leader: func() string { return "other" }}
	return NewAnswers(f, journal.NewBook("me", time.Now), about, time.Now)
}

func (f *fabric) Status() controller.Status   { return f.status }
func (f *fabric) Config() controller.Config   { return f.cfg }
func (f *fabric) Calls() []controller.Call    { return nil }
func (f *fabric) Rows() *ledger.Reader        { return ledger.NewReader(f.ledger) }
func (f *fabric) InRange(g guid.GUID) bool    { return f.cfg.GUIDs[0].Contains(g) }
func (f *fabric) Listed(p pkey.PKey) bool     { return len(f.ufm[p]) > 0 }
func (f *fabric) WentOn(uid types.UID) bool   { return f.wentOn[uid] }
func (f *fabric) Waits() []controller.Wait    { return slices.Clone(f.waits) }
func (f *fabric) Tables() ([]budget.Use, int) { return slices.Clone(f.uses), 128 }

func (f *fabric) Reasons() []controller.Reason { return slices.Clone(f.reasons) }

func (f *fabric) PKeys() (all []pkey.PKey) {
	all = f.ledger.PKeys()
	for p := range f.ufm {
		all = append(all, p)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (f *fabric) Showing(p pkey.PKey) controller.Showing {
	return controller.Showing{Known: true, From: "ufm1", Count: len(f.ufm[p])}
}

func (f *fabric) Shown(p pkey.PKey, guids []guid.GUID) []controller.Shown {
	out := make([]controller.Shown, len(guids))
	for i, g := range guids {
		out[i].Mode, out[i].In = f.ufm[p][g]
	}
	return out
}

func (f *fabric) ShownIn(p pkey.PKey) (list []guid.GUID) {
	list = make([]guid.GUID, 0, len(f.ufm[p]))
	for g := range f.ufm[p] {
		list = append(list, g)
	}
	return list
}

func (f *fabric) StandsIn(g guid.GUID) (in []pkey.PKey) {
	for _, p := range f.PKeys() {
		if _, ok := f.ufm[p][g]; ok {
			in = append(in, p)
		}
	}
	return in
}

func (f *fabric) Facts(pkey.PKey) controller.PartitionFacts { return controller.PartitionFacts{} }

func (f *fabric) Pod(name types.NamespacedName) *corev1.Pod { return f.pods[name] }

func (f *fabric) IsConfigured(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(f.waits, func(w controller.Wait) bool { return w.Pod.Name == pod.Name && w.Pod.Namespace == pod.Namespace })
}

func (f *fabric) GrantedTo(context.Context, string, types.NamespacedName) ([]attach.Claim, bool, error) {
	return nil, true, nil
}

func (f *fabric) ReasonOf(pod types.NamespacedName, uid types.UID) (controller.Reason, bool) {
	for _, r := range f.reasons {
		if r.Pod == pod && r.UID == uid {
			return r, true
		}
	}
	return controller.Reason{}, false
}

func (f *fabric) Due(p pkey.PKey) pkey.Changes {
	var shown []pkey.Member
	for g, mode := range f.ufm[p] {
		shown = append(shown, pkey.Member{GUID: g, Mode: mode})
	}
	return pkey.Diff(f.ledger.Want(p), shown, f.InRange)
}

func (f *fabric) Nodes(context.Context) ([]corev1.Node, error) { return f.nodes, nil }

func (f *fabric) HoldOf(r ledger.Row, nodes []corev1.Node) (time.Time, string) {
	if len(nodes) == 0 {
		return r.Since.Add(f.cfg.Hold), "its node is gone"
	}
	return r.Since.Add(f.cfg.Hold), ""
}

var errNoVerbs = errors.New("this fabric is for looking")

func (f *fabric) MayReclaim() error                  { return errNoVerbs }
func (f *fabric) IsUnclaimed(controller.Member) bool { return false }
func (f *fabric) Reclaim(context.Context, pkey.PKey, []guid.GUID, string) (map[guid.GUID]error, error) {
	return nil, errNoVerbs
}
func (f *fabric) MayVouch(context.Context, guid.GUID) (time.Time, error) {
	return time.Time{}, errNoVerbs
}
func (f *fabric) Vouch(context.Context, []guid.GUID, string) (map[guid.GUID]time.Time, map[guid.GUID]error) {
	return nil, nil
}

package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// Pods are a page of pods, by namespace and name; q.State and q.Namespace say which.
func (a *Answers) Pods(q api.Query) (list api.List[api.PodSummary], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	names, err := a.podsIn(api.PodState(q.State))
	if err != nil {
		return list, err
	}
	behind := types.NamespacedName{}
	if q.Continue != "" {
		behind.Namespace, behind.Name, _ = strings.Cut(q.Continue, "/")
	}
	list = api.List[api.PodSummary]{Items: []api.PodSummary{}, Total: len(names), AsOf: a.now()}
	if q.State != "" || q.Namespace != "" {
		list.Total = -1
	}
	rest, _ := page(names, behind, q.Continue != "", len(names), comparePods)
	for _, name := range rest {
		if q.Namespace != "" && name.Namespace != q.Namespace {
			continue
		}
		if len(list.Items) >= limit(q) { // all pods that had a name stand on one page
			last := list.Items[len(list.Items)-1]
			list.Continue = last.Namespace + "/" + last.Name
			return list, nil
		}
		for _, s := range a.summaries(name) {
			if q.State == "" || string(s.State) == q.State {
				list.Items = append(list.Items, s)
			}
		}
	}
	return list, nil
}

// podsIn are the names, in order, among which all pods in a state are.
func (a *Answers) podsIn(state api.PodState) (names []types.NamespacedName, err error) {
	switch state {
	case "", api.PodConfigured:
		return a.index.allPods(), nil
	case api.PodLeaving:
		for guids := range slices.Chunk(a.index.allGUIDs(), batch) {
			for _, r := range a.c.Rows().Some(guids) {
				if r.State != ledger.Assigned {
					names = append(names, r.Pod)
				}
			}
		}
	case api.PodWaiting, api.PodRefused, api.PodIgnored:
		return a.index.waitingPods(), nil
	default:
		return nil, badRequest("state=%.20q: write %s, %s, %s, %s or %s", state, api.PodWaiting, api.PodRefused, api.PodConfigured, api.PodIgnored, api.PodLeaving)
	}
	return sortedPods(names), nil
}

// waiting counts the pods that wait and those that were refused, and says who waits longest.
// All pods of a cluster may, while UFM is away: they are counted and not looked at.
func (a *Answers) waiting() (waiting, refused int, oldest types.NamespacedName) {
	var first time.Time
	wait := func(pod types.NamespacedName, since time.Time) {
		if waiting++; first.IsZero() || since.Before(first) {
			first, oldest = since, pod
		}
	}
	told := map[types.NamespacedName]bool{}
	for _, r := range a.c.Reasons() {
		switch told[r.Pod] = true; r.Event {
		case record.PodWaiting:
			wait(r.Pod, r.Since)
		case record.PodIgnored:
		default:
			refused++
		}
	}
	for _, w := range a.c.Waits() {
		if !told[w.Pod] {
			wait(w.Pod, w.Since)
		}
	}
	return waiting, refused, oldest
}

// summaries are the pods that have or had a name, the one that lives last.
func (a *Answers) summaries(name types.NamespacedName) (list []api.PodSummary) {
	byUID := map[types.UID][]ledger.Row{}
	var uids []types.UID
	for _, r := range a.c.Rows().OfName(name) {
		if byUID[r.UID] == nil {
			uids = append(uids, r.UID)
		}
		byUID[r.UID] = append(byUID[r.UID], r)
	}
	pod := a.c.Pod(name)
	for _, uid := range uids {
		if pod == nil || pod.UID != uid {
			list = append(list, former(name, uid, byUID[uid]))
		}
	}
	if pod != nil {
		reason, told := a.c.ReasonOf(name, pod.UID)
		if rows := byUID[pod.UID]; told || len(rows) > 0 {
			list = append(list, a.summary(pod, rows, reason.Event, reason.Text, reason.Since))
		}
	}
	return list
}

func former(name types.NamespacedName, uid types.UID, rows []ledger.Row) api.PodSummary {
	s := withRows(api.PodSummary{PodName: api.PodName{Namespace: name.Namespace, Name: name.Name, UID: string(uid)}}, rows)
	s.State, s.Why, s.Since = api.PodLeaving, "it ended, and its GUIDs are leaving UFM", rows[0].Since
	if !slices.ContainsFunc(rows, func(r ledger.Row) bool { return r.State != ledger.Held }) {
		s.Why = "it ended, and its GUIDs are held before anybody else gets them"
	}
	return s
}

func withRows(s api.PodSummary, rows []ledger.Row) api.PodSummary {
	for _, r := range rows {
		s.GUIDs = append(s.GUIDs, r.GUID)
		s.Node = cmp.Or(s.Node, r.Node)
		for _, claim := range r.Claims {
			if !slices.Contains(s.PKeys, claim.PKey) {
				s.PKeys = append(s.PKeys, claim.PKey)
			}
		}
	}
	slices.Sort(s.PKeys)
	s.Interfaces = len(rows)
	return s
}

func (a *Answers) summary(pod *corev1.Pod, rows []ledger.Row, event record.Event, text string, since time.Time) api.PodSummary {
	s := withRows(api.PodSummary{PodName: api.PodName{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}}, rows)
	s.Node = cmp.Or(pod.Spec.NodeName, s.Node)
	assigned := slices.DeleteFunc(slices.Clone(rows), func(r ledger.Row) bool { return r.State != ledger.Assigned })
	switch {
	case len(rows) > 0 && len(assigned) == 0:
		s.State, s.Since, s.Why = api.PodLeaving, rows[0].Since, "it ended, and its GUIDs are leaving UFM, or are held"
	case event == record.PodRefused || event == record.GUIDConflict || event == record.UFMRejected:
		s.State, s.Since, s.Why = api.PodRefused, since, text
	case event == record.PodIgnored:
		s.State, s.Since, s.Why = api.PodIgnored, since, text
	case a.c.IsConfigured(pod):
		s.State, s.Since = api.PodConfigured, assigned[0].Since
	default:
		s.State, s.Since, s.Why = api.PodWaiting, pod.CreationTimestamp.Time, cmp.Or(text, "its GUIDs are on their way into UFM")
	}
	s.Since = utc(s.Since)
	return s
}

// Search finds q.Text: a GUID, a PKey, or how a pod's or a node's name begins.
func (a *Answers) Search(q api.Query) (list api.List[api.Hit], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	text := q.Text
	list = api.List[api.Hit]{Items: []api.Hit{}, Total: -1, AsOf: a.now()}
	if text == "" {
		return list, nil
	}
	for _, g := range guidsIn(text) {
		list.Items = append(list.Items, a.guidHit(g))
	}
	if p, ok := pkeyIn(text); ok {
		if part, err := a.Partition(p); err == nil {
			list.Items = append(list.Items, api.Hit{Kind: api.HitPKey, Name: p.String(), PKey: p, About: aboutPartition(part)})
		}
	}
	list.Items = append(list.Items, a.nodeHits(text, limit(q))...)
	for _, name := range a.index.allPods() {
		if len(list.Items) >= limit(q) {
			break
		}
		if strings.HasPrefix(name.Name, text) || strings.HasPrefix(name.String(), text) {
			for _, s := range a.summaries(name) {
				list.Items = append(list.Items, api.Hit{Kind: api.HitPod, Name: name.String(), Pod: &s.PodName, About: string(s.State)})
			}
		}
	}
	list.Items = list.Items[:min(len(list.Items), limit(q))]
	return list, nil
}

func (a *Answers) nodeHits(text string, most int) (hits []api.Hit) {
	for name := range a.index.allNodes() {
		if strings.HasPrefix(name, text) {
			hits = append(hits, api.Hit{Kind: api.HitNode, Name: name, About: "a node of the cluster"})
		}
	}
	slices.SortFunc(hits, func(x, y api.Hit) int { return cmp.Compare(x.Name, y.Name) })
	return hits[:min(len(hits), most)]
}

// pkeyIn is the PKey that a text is, in any spelling: with its membership bit, as a port's
// table shows it, too.
func pkeyIn(text string) (pkey.PKey, bool) {
	digits := strings.TrimPrefix(strings.ToLower(text), "0x")
	if digits == "" || len(digits) > 4 {
		return 0, false
	}
	const fullBit = 0x8000
	v, err := parseHex16(digits)
	p := pkey.PKey(v &^ fullBit)
	return p, err == nil && (p.IsValid() || p == pkey.Default)
}

package console

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Drift is a page of what differs between UFM and the ledger.
func (a *Answers) Drift(q api.Query) (list api.List[api.Drift], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	from, behind, err := driftFrom(q)
	if err != nil {
		return list, err
	}
	sums := a.index.census()
	unread := a.c.Status().Full.Unread
	list = api.List[api.Drift]{Items: []api.Drift{}, Total: sums.drift + sums.sum.Unclaimed + len(unread), AsOf: sums.at}
	for _, p := range a.c.PKeys() {
		if p < from {
			continue
		}
		if p > from {
			behind = 0
		}
		if behind == 0 && slices.Contains(unread, p) {
			list.Items = append(list.Items, api.Drift{Kind: api.DriftUnread, PKey: p, What: "UFM does not tell who is in it", Mend: "it is read again by itself; nothing in it is removed meanwhile. See the log for work.failed"})
		}
		if n := sums.parts[p]; n.drift+n.Unclaimed == 0 {
			continue
		}
		if a.driftOf(p, behind, limit(q), &list) {
			last := list.Items[len(list.Items)-1]
			list.Continue = last.PKey.String() + "," + max(last.GUID, 1).String() // an unread partition has none
			return list, nil
		}
	}
	return list, nil
}

func driftFrom(q api.Query) (p pkey.PKey, g guid.GUID, err error) {
	if q.Continue == "" {
		return 0, 0, nil
	}
	first, second, _ := strings.Cut(q.Continue, ",")
	if p, err = pkey.Parse(first); err == nil {
		g, err = guid.Parse(second)
	}
	if err != nil {
		return 0, 0, badRequest("continue: %v", err)
	}
	return p, g, nil
}

// driftOf adds that of one partition behind a GUID, and reports whether the page is full.
func (a *Answers) driftOf(p pkey.PKey, behind guid.GUID, limit int, list *api.List[api.Drift]) (full bool) {
	rest, _ := page(a.index.of(p).all, behind, behind != 0, len(a.index.of(p).all), cmp.Compare[guid.GUID])
	for guids := range slices.Chunk(rest, batch) {
		shown := a.c.Shown(p, guids)
		rows := map[guid.GUID]int{}
		some := a.c.Rows().Some(guids)
		for i, r := range some {
			rows[r.GUID] = i
		}
		for i, g := range guids {
			d := api.Drift{PKey: p, GUID: g}
			at, has := rows[g]
			if has {
				_, has = some[at].Claim(p)
			}
			switch {
			case has:
				v := judge(a.c, p, some[at], shown[i])
				d.Kind, d.Pod = v.drift, &api.PodName{Namespace: some[at].Pod.Namespace, Name: some[at].Pod.Name, UID: string(some[at].UID)}
			case shown[i].In && a.c.InRange(g):
				d.Kind = api.DriftUnclaimed
			}
			if d.Kind == "" {
				continue
			}
			if len(list.Items) >= limit {
				return true
			}
			d.What, d.Mend = driftText(d.Kind, shown[i])
			list.Items = append(list.Items, d)
		}
	}
	return false
}

func driftText(kind api.DriftKind, shown controller.Shown) (what, mend string) {
	switch kind {
	case api.DriftMissing:
		return "its pod runs with it, and UFM does not show it", "it is put in again by itself"
	case api.DriftMode:
		return "its pod runs with it, and UFM has it as " + shown.Mode.String(), "it is set again by itself"
	case api.DriftLeftover:
		return "UFM was seen without it, and shows it again", "it is taken out again by itself"
	}
	return "UFM shows it, it is of this controller's GUID range, and no row of the ledger explains it", "if it is no other cluster's, have it removed: ibfabric reclaim"
}

// Plan is a page of what is due to be changed in UFM.
func (a *Answers) Plan(q api.Query) (list api.List[api.Step], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	var behind pkey.PKey
	if q.Continue != "" {
		if behind, err = pkey.Parse(q.Continue); err != nil {
			return list, badRequest("continue: %v", err)
		}
	}
	sums := a.index.census()
	list = api.List[api.Step]{Items: []api.Step{}, Total: -1, AsOf: sums.at}
	for _, p := range a.c.PKeys() {
		n := sums.parts[p]
		if p <= behind || n.Pending+n.Leaving+n.drift == 0 {
			continue
		}
		if len(list.Items) >= limit(q) { // all steps of a partition stand on one page
			list.Continue = list.Items[len(list.Items)-1].PKey.String()
			return list, nil
		}
		list.Items = append(list.Items, a.steps(p)...)
	}
	return list, nil
}

func (a *Answers) steps(p pkey.PKey) (steps []api.Step) {
	due, status, cfg := a.c.Due(p), a.c.Status(), a.c.Config()
	waits := ""
	switch {
	case cfg.Policy == controller.DryRun:
		waits = "the policy is dry-run: nothing is done"
	case status.Writes.Err != nil:
		waits = "UFM takes no changes"
	case status.Reads.Err != nil:
		waits = "UFM does not answer"
	}
	for _, b := range due.Adds {
		s := a.step(api.VerbAdd, p, b.GUIDs)
		s.Membership, s.Why, s.Waits = b.Mode.String(), "pods wait for it, or run with it and UFM has it not as it should be", waits
		steps = append(steps, s)
	}
	if len(due.Remove) == 0 {
		return steps
	}
	s := a.step(api.VerbRemove, p, due.Remove)
	s.Why, s.Waits = "their pods ended", waits
	switch {
	case waits != "":
	case cfg.Policy == controller.AddOnly:
		s.Waits = "the policy is add-only: nothing is removed"
	case a.now().Before(status.Settled):
		s.Waits = "a former leader may still have a write under way"
	}
	return append(steps, s)
}

func (a *Answers) step(verb api.Verb, p pkey.PKey, guids []guid.GUID) api.Step {
	s := api.Step{Verb: verb, PKey: p, Count: len(guids), GUIDs: guids[:min(len(guids), api.MaxListed)]}
	var last types.UID
	for _, r := range a.c.Rows().Some(s.GUIDs) {
		if r.UID != last {
			last = r.UID
			s.Pods = append(s.Pods, api.PodName{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: string(r.UID)})
		}
	}
	return s
}

package console

import (
	"cmp"
	"slices"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Partitions are a page of partitions, by PKey.
func (a *Answers) Partitions(q api.Query) (list api.List[api.Partition], err error) {
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
	all := a.c.PKeys()
	items, more := page(all, behind, q.Continue != "", limit(q), cmp.Compare[pkey.PKey])
	list = api.List[api.Partition]{Items: make([]api.Partition, 0, len(items)), Total: len(all), AsOf: sums.at}
	for _, p := range items {
		list.Items = append(list.Items, a.partition(p, sums))
	}
	if more {
		list.Continue = items[len(items)-1].String()
	}
	return list, nil
}

// Partition is one partition.
func (a *Answers) Partition(p pkey.PKey) (api.Partition, error) {
	if err := a.leads(); err != nil {
		return api.Partition{}, err
	}
	sums := a.index.census()
	part := a.partition(p, sums)
	if _, known := sums.parts[p]; !known && !part.InUFM && part.Name == "" {
		return part, notFound("pkey %s: no pod asks for it, UFM does not show it, and no Partition has it", p)
	}
	return part, nil
}

func (a *Answers) partition(p pkey.PKey, sums *census) api.Partition {
	shows, facts, n := a.c.Showing(p), a.c.Facts(p), sums.parts[p]
	out := api.Partition{
		PKey: p, Name: facts.Terms.Partition, InUFM: shows.Count > 0 || a.c.Listed(p), InScope: a.c.Config().Scope.Contains(p),
		Members: n.Counts, Drift: n.drift, MaxMembers: facts.Terms.MaxMembers, Known: shows.Known, From: shows.From, Waiting: facts.Waiting, Since: utc(facts.Since),
	}
	switch {
	case shows.Known:
	case shows.Unread:
		out.Unknown = "UFM could not tell its members when it was read last"
	default:
		out.Unknown = "a change is under way, or another UFM answers than showed it: it is read again by itself"
	}
	if q := facts.Terms.QoS; q != nil {
		out.QoS = &api.QoS{MTULimit: q.MTULimit, RateLimit: q.RateLimit, ServiceLevel: q.ServiceLevel}
	}
	if facts.QoSErr != nil {
		out.QoSError = facts.QoSErr.Error()
	}
	return out
}

// Members are a page of a partition's members, by GUID; q.Kind says which.
func (a *Answers) Members(p pkey.PKey, q api.Query) (list api.List[api.Member], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	behind, err := behindGUID(q)
	if err != nil {
		return list, err
	}
	k := a.index.of(p)
	of := map[api.MemberKind][]guid.GUID{"": k.all, api.Ours: k.ours, api.Unclaimed: k.unclaimed, api.Foreign: k.strangers}[q.Kind]
	items, more := page(of, behind, behind != 0, limit(q), cmp.Compare[guid.GUID])
	list = api.List[api.Member]{Items: a.membersOf(p, items), Total: len(of), AsOf: k.made}
	if more {
		list.Continue = items[len(items)-1].String()
	}
	return list, nil
}

func behindGUID(q api.Query) (guid.GUID, error) {
	if q.Continue == "" {
		return 0, nil
	}
	g, err := guid.Parse(q.Continue)
	if err != nil {
		return 0, badRequest("continue: %v", err)
	}
	return g, nil
}

// membersOf are GUIDs in a partition as they are now. One that went meanwhile is left out.
func (a *Answers) membersOf(p pkey.PKey, guids []guid.GUID) []api.Member {
	rows := map[guid.GUID]ledger.Row{}
	for _, r := range a.c.Rows().Some(guids) {
		rows[r.GUID] = r
	}
	members := make([]api.Member, 0, len(guids))
	for i, shown := range a.c.Shown(p, guids) {
		g := guids[i]
		r, has := rows[g]
		if has {
			_, has = r.Claim(p)
			has = has || p == 0
		}
		if m, ok := a.member(p, g, r, has, shown); ok {
			members = append(members, m)
		}
	}
	return members
}

func (a *Answers) member(p pkey.PKey, g guid.GUID, r ledger.Row, claims bool, shown controller.Shown) (m api.Member, ok bool) {
	m = api.Member{PKey: p, GUID: g, Kind: api.Ours}
	if shown.In {
		m.Shown = shown.Mode.String()
	}
	switch {
	case claims:
		v := judge(a.c, p, r, shown)
		m.State, m.Since, m.Interface, m.Node, m.Missing = stateOf(r.State), utc(r.Since), r.Interface, r.Node, v.missing
		m.Pod = &api.PodName{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: string(r.UID)}
		if claim, _ := r.Claim(p); r.State == ledger.Assigned && p != 0 {
			m.Wanted = claim.Mode.String()
		}
		return m, true
	case a.c.InRange(g):
		m.Kind, m.Missing = api.Unclaimed, "no row of the ledger explains it: if it is no other cluster's, have it removed with ibfabric reclaim"
		if r.GUID == g { // it is a pod's, and stands here beside
			m.Pod, m.Interface = &api.PodName{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: string(r.UID)}, r.Interface
		}
	default:
		m.Kind = api.Foreign
	}
	return m, shown.In
}

func stateOf(s ledger.State) api.RowState {
	switch s {
	case ledger.Leaving:
		return api.Leaving
	case ledger.Held:
		return api.Held
	}
	return api.Assigned
}

// GUIDs are a page of the ledger's rows, by GUID; q.State says which.
func (a *Answers) GUIDs(q api.Query) (list api.List[api.GUID], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	behind, err := behindGUID(q)
	if err != nil {
		return list, err
	}
	want := api.RowState(q.State)
	if !slices.Contains([]api.RowState{"", api.Assigned, api.Leaving, api.Held}, want) {
		return list, badRequest("state=%.20q: write %s, %s or %s", q.State, api.Assigned, api.Leaving, api.Held)
	}
	all := a.index.allGUIDs()
	list = api.List[api.GUID]{Items: []api.GUID{}, Total: len(all), AsOf: a.now()}
	if want != "" {
		list.Total = -1
	}
	rest, _ := page(all, behind, behind != 0, len(all), cmp.Compare[guid.GUID])
	for guids := range slices.Chunk(rest, batch) {
		for _, r := range a.c.Rows().Some(guids) {
			switch {
			case want != "" && stateOf(r.State) != want:
				continue
			case len(list.Items) == limit(q):
				list.Continue = list.Items[len(list.Items)-1].GUID.String()
				return list, nil
			}
			list.Items = append(list.Items, a.guid(r))
		}
	}
	return list, nil
}

func (a *Answers) guid(r ledger.Row) api.GUID {
	return api.GUID{
		GUID: r.GUID, LedgerRow: a.row(r), Interface: r.Interface, Network: r.Network.String(), UFM: a.standings(r),
		Pod: api.PodName{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: string(r.UID)},
	}
}

func claimsOf(claims []attach.Claim) []api.Claim {
	out := make([]api.Claim, len(claims))
	for i, c := range claims {
		out[i] = api.Claim{PKey: c.PKey, Partition: c.Partition, Membership: c.Membership.String(), Index0: c.Index0, IPoIB: c.IPoIB}
	}
	return out
}

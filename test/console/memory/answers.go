package memory

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func unknown(what string) error {
	return &api.Error{Code: http.StatusNotFound, Message: what + " is not known"}
}

// ask is what every answer begins with.
func (f *Fabric) ask() (done func(), err error) {
	f.mu.Lock()
	if f.failure != nil {
		err = f.failure
	}
	return f.mu.Unlock, err
}

// cut is the page of a list in the order of its keys that a query asks for.
func cut[T any](f *Fabric, all []T, q api.Query, key func(T) string) api.List[T] {
	out := api.List[T]{Total: len(all), AsOf: f.now()}
	from := 0
	if q.Continue != "" {
		from = slices.IndexFunc(all, func(v T) bool { return key(v) == q.Continue }) + 1
	}
	limit := min(cmp.Or(q.Limit, api.DefaultLimit), api.MaxLimit)
	end := min(len(all), from+limit)
	out.Items = slices.Clone(all[from:end])
	if end < len(all) {
		out.Continue = key(all[end-1])
	}
	return out
}

// Overview implements pages.Answers, as do those below.
func (f *Fabric) Overview() (api.Overview, error) {
	done, err := f.ask()
	defer done()
	o := f.overview
	o.AsOf, o.Partitions = f.now(), len(f.partitions)
	for _, d := range f.drift {
		if d.Kind != api.DriftUnclaimed {
			o.Drift++
		}
	}
	for p := range f.partitions {
		o.Members = plus(o.Members, f.counts(p))
	}
	for _, p := range f.pods {
		switch p.State {
		case api.PodWaiting:
			if o.Waiting++; o.Oldest == nil || p.Since.Before(o.Oldest.Since) {
				oldest := p.PodSummary
				o.Oldest = &oldest
			}
		case api.PodRefused:
			o.Refused++
		}
		o.Pool.Owned += uint64(len(p.GUIDs))
	}
	o.Pool.Size = 1 << 56
	o.Pool.Free = o.Pool.Size - o.Pool.Owned
	o.InSync = o.Drift == 0 && o.Members.Pending == 0
	o.Nodes = api.NodeTotals{Limit: TableEntries, Count: len(f.nodes)}
	full := slices.SortedFunc(slices.Values(f.nodes), func(a, b api.Node) int { return b.Needed - a.Needed })
	o.Nodes.Fullest = full[:min(5, len(full))]
	for _, n := range f.nodes {
		if n.Needed > n.Limit {
			o.Nodes.Over++
		}
	}
	o.Journal = api.JournalInfo{Entries: len(f.journal)}
	return o, err
}

func plus(a, b api.Counts) api.Counts {
	return api.Counts{
		Desired: a.Desired + b.Desired, Actual: a.Actual + b.Actual, Pending: a.Pending + b.Pending,
		Leaving: a.Leaving + b.Leaving, Held: a.Held + b.Held, Unclaimed: a.Unclaimed + b.Unclaimed, Foreign: a.Foreign + b.Foreign,
	}
}

func (f *Fabric) counts(p pkey.PKey) (c api.Counts) {
	for i := range f.members[p] {
		switch m := &f.members[p][i]; {
		case m.Kind == api.Unclaimed:
			c.Unclaimed++
		case m.Kind == api.Foreign:
			c.Foreign++
		case m.State == api.Leaving:
			c.Leaving++
		case m.Shown == m.Wanted:
			c.Desired, c.Actual = c.Desired+1, c.Actual+1
		default:
			c.Desired, c.Pending = c.Desired+1, c.Pending+1
		}
	}
	return c
}

func (f *Fabric) partition(p pkey.PKey) api.Partition {
	out := *f.partitions[p]
	out.Members = f.counts(p)
	for _, pod := range f.pods {
		if pod.State == api.PodWaiting && slices.Contains(pod.PKeys, p) {
			if out.Waiting++; out.Since.IsZero() || pod.Since.Before(out.Since) {
				out.Since = pod.Since
			}
		}
	}
	return out
}

func (f *Fabric) Partitions(q api.Query) (api.List[api.Partition], error) {
	done, err := f.ask()
	defer done()
	var all []api.Partition
	for p := range f.partitions {
		all = append(all, f.partition(p))
	}
	slices.SortFunc(all, func(a, b api.Partition) int { return cmp.Compare(a.PKey, b.PKey) })
	return cut(f, all, q, func(p api.Partition) string { return p.PKey.String() }), err
}

func (f *Fabric) Partition(p pkey.PKey) (api.Partition, error) {
	done, err := f.ask()
	defer done()
	if err == nil && f.partitions[p] == nil {
		err = unknown("partition " + p.String())
	}
	if err != nil {
		return api.Partition{}, err
	}
	return f.partition(p), nil
}

func (f *Fabric) Members(p pkey.PKey, q api.Query) (api.List[api.Member], error) {
	done, err := f.ask()
	defer done()
	all := f.members[p]
	if q.Kind != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(m api.Member) bool { return m.Kind != q.Kind })
	}
	total := len(all)
	if g, err := guid.Parse(q.Continue); err == nil { // of a hundred thousand, not by looking at each
		at, _ := slices.BinarySearchFunc(all, g+1, func(m api.Member, g guid.GUID) int { return cmp.Compare(m.GUID, g) })
		all, q.Continue = all[at:], ""
	}
	list := cut(f, all, q, func(m api.Member) string { return m.GUID.String() })
	list.Total = total
	return list, err
}

func (f *Fabric) Pods(q api.Query) (api.List[api.PodSummary], error) {
	done, err := f.ask()
	defer done()
	var all []api.PodSummary
	for _, p := range f.pods {
		if (q.State == "" || q.State == string(p.State)) && (q.Namespace == "" || q.Namespace == p.Namespace) {
			all = append(all, p.PodSummary)
		}
	}
	list := cut(f, all, q, func(p api.PodSummary) string { return p.PodName.String() })
	if q.State != "" || q.Namespace != "" {
		list.Total = -1 // not counted, as by the controller
	}
	return list, err
}

func (f *Fabric) Pod(_ context.Context, name types.NamespacedName) (api.Pod, error) {
	done, err := f.ask()
	defer done()
	at, found := slices.BinarySearchFunc(f.pods, name.String(), comparePods)
	if err == nil && !found {
		err = unknown("pod " + name.String())
	}
	if err != nil {
		return api.Pod{}, err
	}
	p := *f.pods[at]
	p.Attached = slices.Clone(p.Attached)
	for i := range p.Attached {
		p.Attached[i].UFM = slices.Clone(p.Attached[i].UFM)
	}
	return p, nil
}

func (f *Fabric) GUIDs(q api.Query) (api.List[api.GUID], error) {
	done, err := f.ask()
	defer done()
	var all []api.GUID
	for _, p := range f.pods {
		for _, g := range p.GUIDs {
			if row := f.rowOf(g); row != nil && (q.State == "" || q.State == string(row.State)) {
				all = append(all, *row)
			}
		}
	}
	slices.SortFunc(all, func(a, b api.GUID) int { return cmp.Compare(a.GUID, b.GUID) })
	return cut(f, all, q, func(g api.GUID) string { return g.GUID.String() }), err
}

func (f *Fabric) Whois(q api.Query) (api.Whois, error) {
	g, parseErr := guid.Parse(q.Text)
	done, err := f.ask()
	defer done()
	if err = cmp.Or(err, parseErr); err != nil {
		return api.Whois{}, err
	}
	w := api.Whois{Query: q.Text, GUID: &api.WhoisGUID{GUID: g, Range: g >= FirstGUID, Row: f.rowOf(g)}}
	for p := range f.partitions {
		for _, m := range f.members[p] {
			if m.GUID == g {
				w.GUID.Kind = m.Kind
				w.GUID.UFM = append(w.GUID.UFM, api.Standing{PKey: p, Wanted: m.Wanted, Shown: m.Shown, Known: true, Since: m.Since})
			}
		}
	}
	slices.SortFunc(w.GUID.UFM, func(a, b api.Standing) int { return cmp.Compare(a.PKey, b.PKey) })
	w.Answer = []string{g.String() + " is not known."}
	if row := w.GUID.Row; row != nil {
		w.Answer = []string{"It is " + row.Interface + " of pod " + row.Pod.String() + " on node " + row.Node + "."}
	} else if w.GUID.Kind != "" {
		w.Answer = []string{"UFM has it, and no row of the ledger explains it."}
	}
	w.Journal = f.entries(api.Query{GUID: g})
	return w, nil
}

func (f *Fabric) Search(q api.Query) (api.List[api.Hit], error) {
	done, err := f.ask()
	defer done()
	var hits []api.Hit
	if g, err := guid.Parse(q.Text); err == nil {
		hits = append(hits, api.Hit{Kind: api.HitGUID, Name: g.String(), GUID: g})
	}
	if p, err := pkey.Parse(q.Text); err == nil && f.partitions[p] != nil {
		hits = append(hits, api.Hit{Kind: api.HitPKey, Name: p.String(), PKey: p, About: f.partitions[p].Name})
	}
	for _, p := range f.pods {
		if strings.HasPrefix(p.Name, q.Text) || strings.HasPrefix(p.PodName.String(), q.Text) {
			hits = append(hits, api.Hit{Kind: api.HitPod, Name: p.PodName.String(), Pod: &p.PodName, About: string(p.State) + " on " + p.Node})
		}
	}
	for _, n := range f.nodes {
		if strings.HasPrefix(n.Name, q.Text) {
			hits = append(hits, api.Hit{Kind: api.HitNode, Name: n.Name})
		}
	}
	return cut(f, hits, q, func(h api.Hit) string { return h.Name }), err
}

func (f *Fabric) Nodes(q api.Query) (api.List[api.Node], error) {
	done, err := f.ask()
	defer done()
	return cut(f, f.nodes, q, func(n api.Node) string { return n.Name }), err
}

func (f *Fabric) Drift(q api.Query) (api.List[api.Drift], error) {
	done, err := f.ask()
	defer done()
	return cut(f, f.drift, q, func(d api.Drift) string { return d.PKey.String() + d.GUID.String() }), err
}

func (f *Fabric) Plan(q api.Query) (api.List[api.Step], error) {
	done, err := f.ask()
	defer done()
	return cut(f, f.plan, q, func(s api.Step) string { return s.PKey.String() + string(s.Verb) + s.Membership }), err
}

func (f *Fabric) Journal(q api.Query) (api.List[api.Entry], error) {
	done, err := f.ask()
	defer done()
	return cut(f, f.entries(q), q, func(e api.Entry) string { return strconv.FormatUint(e.ID, 10) }), err
}

func (f *Fabric) entries(q api.Query) []api.Entry {
	var out []api.Entry
	for _, e := range f.journal {
		ofPod := func(p api.PodName) bool { return p.Namespace == q.Pod.Namespace && p.Name == q.Pod.Name }
		if (q.PKey == 0 || e.PKey == q.PKey) && (q.GUID == 0 || slices.Contains(e.GUIDs, q.GUID)) && (q.Pod.Name == "" || slices.ContainsFunc(e.Pods, ofPod)) {
			out = append(out, e)
		}
	}
	return out
}

package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// Answers answers what the API is asked, as Go values; the console's pages render the
// same. Errors are *api.Error: 503 where this replica does not lead, 404 for what nobody
// knows, 400 for what nobody can read. It is safe for concurrent use.
type Answers struct {
	c       Controller
	journal Journal
	about   About
	now     func() time.Time
	index   *index
	history *history
}

// About is what the console says of the process it is in.
type About struct {
	Identity string // of this replica
	Version  string
	Target   string                // the subnet manager, as configured
	Leader   func() (other string) // who leads, as far as this replica has seen
	Warnings func() []string       // what a person should know beside; nil is nothing
}

// NewAnswers answers for a controller.
func NewAnswers(c Controller, j Journal, about About, now func() time.Time) *Answers {
	return &Answers{c: c, journal: j, about: about, now: now, index: newIndex(c, now), history: &history{}}
}

// leads is nil where this replica leads and knows what there is.
func (a *Answers) leads() error {
	switch s := a.c.Status(); {
	case !s.Leading:
		e := &api.Error{Code: http.StatusServiceUnavailable, Leader: a.about.Leader(), Message: "this replica does not lead, and knows nothing of the fabric; nobody leads now: ask again soon"}
		if e.Leader != "" && e.Leader != a.about.Identity {
			e.Message = "this replica does not lead, and knows nothing of the fabric: ask " + e.Leader
		}
		return e
	case !s.Adopted && s.Blocked != nil:
		return &api.Error{Code: http.StatusServiceUnavailable, Leader: a.about.Identity, Message: "this leader has not begun: " + s.Blocked.Error()}
	case !s.Adopted:
		return &api.Error{Code: http.StatusServiceUnavailable, Leader: a.about.Identity, Message: "this leader is still reading the ledger, the pods and UFM: ask again soon"}
	}
	return nil
}

func notFound(format string, args ...any) error {
	return &api.Error{Code: http.StatusNotFound, Message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &api.Error{Code: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

// limit is how many items a page has.
func limit(q api.Query) int {
	if q.Limit <= 0 {
		return api.DefaultLimit
	}
	return min(q.Limit, api.MaxLimit)
}

// Overview is the fabric on one page. A leader that has not read everything yet answers as
// far as it knows.
func (a *Answers) Overview() (api.Overview, error) {
	s, cfg := a.c.Status(), a.c.Config()
	if err := a.leads(); err != nil && !s.Leading {
		return api.Overview{}, err
	}
	o := api.Overview{
		Fabric: cfg.Fabric, Namespace: cfg.Namespace, Version: a.about.Version, Policy: string(cfg.Policy), DryRun: cfg.Policy == controller.DryRun,
		PKeys: cfg.Scope.String(), Hold: api.Duration(cfg.Hold), Leader: a.leader(s), UFM: a.ufm(s, cfg),
		Pool:       api.Pool{Size: s.Pool.Size, Owned: s.Pool.Owned, Held: s.Pool.Held, Free: s.Pool.Size - s.Pool.Owned - s.Pool.Held},
		DriftFound: s.Found, DriftRepaired: s.Repaired, AsOf: a.now(),
	}
	for _, r := range cfg.GUIDs {
		o.GUIDs = append(o.GUIDs, r.String())
	}
	if s.Adopted {
		a.count(&o, s)
	}
	o.Journal.Entries, o.Journal.Oldest, o.Journal.Unwritten = a.journal.Count()
	o.Notices = a.notices(o, s)
	return o, nil
}

// count fills in what is counted.
func (a *Answers) count(o *api.Overview, s controller.Status) {
	sums := a.index.census()
	o.Members, o.Drift, o.Partitions, o.AsOf = sums.sum, sums.drift, len(sums.parts), sums.at
	o.InSync = s.Shows && s.Reads.Err == nil && len(s.Full.Unread) == 0 && o.Drift == 0 && o.Members.Pending+o.Members.Leaving == 0
	var oldest types.NamespacedName
	o.Waiting, o.Refused, oldest = a.waiting()
	for _, w := range a.summaries(oldest) {
		o.Oldest = &w
	}
	o.StuckHolds = sums.stuck
	o.Nodes = a.nodeTotals()
}

func (a *Answers) leader(s controller.Status) api.Leader {
	l := api.Leader{Identity: a.about.Identity, Since: s.Since.UTC(), Adopted: s.Adopted}
	if s.Former != "" && a.now().Before(s.Settled) {
		l.Former, l.Settled = s.Former, s.Settled.UTC()
	}
	if s.Blocked != nil {
		l.Blocked = s.Blocked.Error()
	}
	return l
}

func (a *Answers) ufm(s controller.Status, cfg controller.Config) api.UFM {
	u := api.UFM{
		Target: a.about.Target, Shows: s.Shows, Address: s.Address, Reads: health(s.Reads), Writes: health(s.Writes),
		Full: api.FullRead{At: utc(s.Full.At), Took: rounded(s.Full.Took), From: s.Full.From, Every: api.Duration(cfg.SyncEvery), Unread: s.Full.Unread},
	}
	for _, call := range a.c.Calls() {
		u.Calls = append(u.Calls, api.Call{
			Op: call.Op, Count: call.Count, Failed: call.Failed, Mean: rounded(call.Sum / time.Duration(call.Count)), Max: rounded(call.Max),
			Last: rounded(call.Last), LastAt: utc(call.LastAt),
		})
	}
	return u
}

func health(o controller.Outage) api.Health {
	if o.Err == nil {
		return api.Health{OK: true}
	}
	return api.Health{Since: utc(o.Since), Error: o.Err.Error()}
}

// utc keeps the zero time zero, so that it is left out.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func rounded(d time.Duration) api.Duration { return api.Duration(d.Round(10 * time.Microsecond)) }

// notices are what a person should know or do.
func (a *Answers) notices(o api.Overview, s controller.Status) (list []string) {
	say := func(when bool, format string, args ...any) {
		if when {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	say(o.DryRun, "Dry run: nothing is changed, and no pod is let go on. Start the controller with --sync-policy=sync when the plan is as it should be.")
	say(s.Blocked != nil, "Nothing is done: %v", s.Blocked)
	say(!o.UFM.Reads.OK, "UFM has not answered since %s: running pods keep what they have, and work waits. See that it runs and can be reached.", stamp(o.UFM.Reads.Since))
	say(!o.UFM.Writes.OK && o.UFM.Reads.OK, "UFM has taken no changes since %s, and answers reads. See what its account may do.", stamp(o.UFM.Writes.Since))
	say(len(o.UFM.Full.Unread) > 0, "Partitions whose members UFM does not tell, and that are left as they are: %d. See the log for work.failed.", len(o.UFM.Full.Unread))
	say(o.Members.Unclaimed > 0, "Members in UFM that are of this controller's GUID range and belong to no pod: %d. If they are no other cluster's, have them removed: ibfabric reclaim.", o.Members.Unclaimed)
	say(o.StuckHolds > 0, "GUIDs held for nodes that are gone or not Ready: %d. For a node that is gone for good: ibfabric release.", o.StuckHolds)
	say(o.Nodes.Over > 0, "Nodes that need more PKeys than their HCA's table has, so that some ports stay without a link: %d. Move pods of one PKey away.", o.Nodes.Over)
	say(o.Refused > 0, "Pods that get nothing as they are written: %d. Each has an Event that says what to change.", o.Refused)
	if a.about.Warnings != nil {
		list = append(list, a.about.Warnings()...)
	}
	return list
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *Answers) nodeTotals() api.NodeTotals {
	uses, limit := a.c.Tables()
	t := api.NodeTotals{Limit: limit, Count: len(uses)}
	for _, u := range uses {
		if len(u.PKeys)+1 > limit {
			t.Over++
		}
	}
	const shown = 5
	slices.SortStableFunc(uses, func(x, y use) int { return cmp.Compare(len(y.PKeys), len(x.PKeys)) })
	for _, u := range uses[:min(len(uses), shown)] {
		t.Fullest = append(t.Fullest, a.node(u, limit, nil, nil))
	}
	return t
}

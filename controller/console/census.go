package console

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// census counts the members of all partitions.
type census struct {
	at    time.Time
	parts map[pkey.PKey]count
	sum   api.Counts
	drift int
	held  map[string]int // GUIDs, by the node that they wait for
	stuck int            // of them, those whose hold is over and whose node says nothing
}

type count struct {
	api.Counts
	drift int
}

// census counts, at most once in a while: the longer it takes the more seldom.
func (x *index) census() *census {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sums.get(x.now, func() *census { return takeCensus(x.c, x.nodesByName(), x.now()) })
}

func takeCensus(c Controller, nodes map[string]*corev1.Node, now time.Time) *census {
	s := &census{at: now, parts: map[pkey.PKey]count{}, held: map[string]int{}}
	for guids := range slices.Chunk(c.Rows().GUIDs(), batch) {
		for _, r := range c.Rows().Some(guids) {
			if r.State != ledger.Held || r.Node == "" {
				continue
			}
			s.held[r.Node]++
			if at, waits := c.HoldOf(r, nodesOf(r, nodes)); waits != "" && !now.Before(at) {
				s.stuck++
			}
		}
	}
	for _, p := range c.PKeys() {
		n := countPartition(c, p)
		s.parts[p] = n
		s.sum = plus(s.sum, n.Counts)
		s.drift += n.drift
	}
	return s
}

// nodesOf are the nodes that a held row waits for.
func nodesOf(r ledger.Row, nodes map[string]*corev1.Node) (list []corev1.Node) {
	if r.Node == ledger.UnknownNode {
		for _, n := range nodes {
			list = append(list, *n)
		}
		return list
	}
	if n := nodes[r.Node]; n != nil {
		list = append(list, *n)
	}
	return list
}

func countPartition(c Controller, p pkey.PKey) (n count) {
	rows := c.Rows()
	for guids := range slices.Chunk(rows.GUIDsOf(p), batch) {
		some := rows.Some(guids)
		for i, shown := range c.Shown(p, guidsOf(some)) {
			n.add(judge(c, p, some[i], shown))
		}
	}
	for shown := range slices.Chunk(c.ShownIn(p), batch) {
		for _, g := range rows.Without(p, shown) {
			if c.InRange(g) {
				n.Unclaimed++
			} else {
				n.Foreign++
			}
		}
	}
	return n
}

func guidsOf(rows []ledger.Row) []guid.GUID {
	guids := make([]guid.GUID, len(rows))
	for i, r := range rows {
		guids[i] = r.GUID
	}
	return guids
}

func plus(a, b api.Counts) api.Counts {
	return api.Counts{
		Desired: a.Desired + b.Desired, Actual: a.Actual + b.Actual, Pending: a.Pending + b.Pending, Leaving: a.Leaving + b.Leaving,
		Held: a.Held + b.Held, Unclaimed: a.Unclaimed + b.Unclaimed, Foreign: a.Foreign + b.Foreign,
	}
}

// verdict is how a row and UFM agree on one partition.
type verdict struct {
	state   ledger.State
	holds   bool // UFM has it as it should be
	drift   api.DriftKind
	missing string // what must happen yet
}

func (n *count) add(v verdict) {
	switch v.state {
	case ledger.Leaving:
		n.Leaving++
	case ledger.Held:
		n.Held++
	default:
		if n.Desired++; v.holds {
			n.Actual++
		} else {
			n.Pending++
		}
	}
	if v.drift != "" {
		n.drift++
	}
}

// judge compares a row's claim on a partition with what UFM shows.
func judge(c Controller, p pkey.PKey, r ledger.Row, shown controller.Shown) verdict {
	claim, _ := r.Claim(p)
	v := verdict{state: r.State, holds: shown.In && shown.Mode == claim.Mode && !shown.Waits}
	switch {
	case r.State == ledger.Held && shown.In:
		v.drift, v.missing = api.DriftLeftover, "UFM shows it again after it was out: it is taken out again"
	case r.State == ledger.Held:
	case r.State == ledger.Leaving && shown.In:
		v.missing = "its pod ended: UFM has yet to be told to let it go"
	case r.State == ledger.Leaving:
		v.missing = "its pod ended: UFM has yet to be seen without it"
	case v.holds:
	case !r.Told:
		v.missing = "its row has yet to be stored in the ledger, before UFM is told"
	case shown.In && shown.Waits:
		v.missing = "UFM took it and has yet to apply it on the fabric"
	case shown.In:
		v.missing = "UFM has it as " + shown.Mode.String() + " and has yet to be told " + claim.Mode.String()
	default:
		v.missing = "UFM has yet to be told to take it in"
	}
	if r.State == ledger.Assigned && !v.holds && !shown.Waits && c.WentOn(r.UID) {
		if v.drift = api.DriftMissing; shown.In {
			v.drift = api.DriftMode
		}
	}
	return v
}

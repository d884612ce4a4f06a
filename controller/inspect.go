package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// What others may see of a controller that leads. Nothing here asks UFM or the API server,
// and no lock is held for longer than it takes to copy keys or a page of rows.

// FullRead is one read of all partitions of UFM.
type FullRead struct {
	At     time.Time
	Took   time.Duration
	From   string
	Unread []pkey.PKey // whose members it could not tell
}

// Outage is a time in which UFM does not answer, or takes no changes; the zero Outage is
// none.
type Outage struct {
	Since time.Time
	Err   error
}

// Status is a controller in a few words.
type Status struct {
	Leading  bool
	Adopted  bool
	Since    time.Time // it leads
	Settled  time.Time // from here on a former leader's last write has come in
	Former   string
	Blocked  error // why it does not begin
	Shows    bool  // the Fabric can be read
	Address  string
	Reads    Outage
	Writes   Outage
	Full     FullRead
	Pool     guid.Stats
	Found    int // drift, since this process began
	Repaired int
}

// Status is how the controller is now.
func (c *Controller) Status() Status {
	s := Status{
		Leading: c.leading() == nil && !c.ledSince.load().IsZero(), Since: c.ledSince.load(), Former: c.former(), Blocked: c.Waiting(),
		Shows: c.reader != nil, Address: c.view.answering(), Pool: c.pool.Stats(),
	}
	select {
	case <-c.adopted:
		s.Adopted = true
	default:
	}
	if s.Former != "" {
		s.Settled = c.removeAfter()
	}
	if full := c.full.Load(); full != nil {
		s.Full = *full
	}
	s.Reads, s.Writes = c.health.outages()
	s.Found, s.Repaired = c.drifted.get()
	return s
}

func (h *health) outages() (reads, writes Outage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Outage{h.reads.since, h.reads.err}, Outage{h.writes.since, h.writes.err}
}

// Config is what the controller was told.
func (c *Controller) Config() Config { return c.cfg }

// Calls are the calls to UFM so far.
func (c *Controller) Calls() []Call { return c.calls.all() }

// Rows is the ledger for reading.
func (c *Controller) Rows() *ledger.Reader { return ledger.NewReader(c.ledger) }

// PKeys are the partitions in the ledger or in UFM, in order, but for the default one.
func (c *Controller) PKeys() []pkey.PKey {
	all := c.allPKeys()
	slices.Sort(all)
	return all
}

// InRange reports whether a GUID is one of those that this controller gives out.
func (c *Controller) InRange(g guid.GUID) bool { return c.pool.Contains(g) }

// Listed reports whether UFM listed a partition when it was read in full last.
func (c *Controller) Listed(p pkey.PKey) bool {
	listed := c.listed.Load()
	return listed != nil && (*listed)[p]
}

// PartitionFacts are what is known of a partition beside its members.
type PartitionFacts struct {
	Terms    grant.Terms
	HasTerms bool
	QoSErr   error // why UFM has not what Terms ask for
	Waiting  int   // pods that wait for it, the first since Since
	Since    time.Time
}

// Facts are what is known of a partition beside its members.
func (c *Controller) Facts(p pkey.PKey) PartitionFacts {
	var f PartitionFacts
	f.Terms, f.HasTerms = c.grants.Terms(p)
	if f.Terms.QoS != nil {
		if f.QoSErr = c.qualities.failed(p).err; c.qualifier == nil {
			f.QoSErr = errNoQoS
		}
	}
	f.Waiting = len(c.pending.of(p))
	f.Since, _ = c.pending.oldest(p)
	return f
}

// Wait is a pod that has rows and was not let go on yet.
type Wait struct {
	Pod   types.NamespacedName
	Since time.Time
}

// Waits are all of them.
func (c *Controller) Waits() (list []Wait) {
	c.pending.mu.Lock()
	defer c.pending.mu.Unlock()
	for pod, first := range c.pending.first {
		list = append(list, Wait{pod, first})
	}
	return list
}

// Reasons are why pods have not what they asked for.
func (c *Controller) Reasons() []Reason { return c.reasons.all() }

// ReasonOf is that of one pod.
func (c *Controller) ReasonOf(pod types.NamespacedName, uid types.UID) (Reason, bool) {
	return c.reasons.of(pod, uid)
}

// Pod is what is known of a pod: its name, times, annotations of networks and their
// status, node, phase and gates. nil is none.
func (c *Controller) Pod(name types.NamespacedName) *corev1.Pod {
	pod, err := c.getPod(name)
	if err != nil {
		return nil // the cache holds nothing but pods
	}
	return pod
}

// IsConfigured reports whether a pod has all that its rows say, as UFM and its annotation
// show it.
func (c *Controller) IsConfigured(pod *corev1.Pod) bool {
	rows := c.rowsOf(pod)
	if len(rows) == 0 || !c.complete(rows) || gateIndex(pod, c.cfg.Gate()) >= 0 {
		return false
	}
	_, waits := c.pending.since(keyOf(pod))
	return !waits
}

func (n *pending) since(pod types.NamespacedName) (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, waits := n.pods[pod]
	return n.first[pod], waits
}

// WentOn reports whether a pod was let go on, as far as this leader knows.
func (c *Controller) WentOn(uid types.UID) bool { return c.patched.known(uid) }

// Due is what a partition lacks and has too much of, as far as known.
func (c *Controller) Due(p pkey.PKey) pkey.Changes { return c.diff(p) }

// Tables are the PKey tables of the nodes that pods are on, and how many entries one has; 0
// is that nobody looks.
func (c *Controller) Tables() (uses []budget.Use, limit int) {
	if c.budget == nil {
		return nil, 0
	}
	return c.budget.Uses(), c.budget.Entries()
}

// GrantedTo is a network as pods of a namespace would get it now: its claims, and why they
// do not, if so. ours is false for one that is none of this fabric's.
func (c *Controller) GrantedTo(ctx context.Context, namespace string, network types.NamespacedName) (claims []attach.Claim, ours bool, err error) {
	net, ours, err := c.networkFor(ctx, namespace, network)
	if ours && isGrantError(err) {
		asked, _, _ := c.network(ctx, network) // it has just been read
		return asked.Claims, true, err
	}
	return net.Claims, ours, err
}

// Denied reports whether an error of GrantedTo says that the network itself is in order.
func Denied(err error) bool { return isGrantError(err) }

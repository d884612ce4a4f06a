package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
)

const (
	// incumbentPoll is how often a waiting leader looks whether ib-kubernetes is gone.
	incumbentPoll = 2 * time.Second

	// incumbentDeployment is what its own manifests and NVIDIA's network operator call it.
	incumbentDeployment = "ib-kubernetes"
	// incumbentLease is the lock of its versions with a leader election. v1.1.1, the last
	// release, has none: there the Deployment alone tells.
	incumbentLease = "ib-kubernetes-leader"
	// incumbentLeaseTime is what a lease lasts that does not say; theirs do.
	incumbentLeaseTime = time.Minute
)

// lister is what is needed of the API server to find ib-kubernetes.
type lister interface {
	List(context.Context, client.ObjectList, ...client.ListOption) error
}

// incumbent knows whether ib-kubernetes works in this cluster, in whatever namespace. It
// and ibfabric beside each other would give one GUID to two pods, and each would take out
// of UFM what the other put in. For one goroutine.
//
// It needs a ClusterRole with the verb list on
//
//	apps                 deployments  resourceNames: [ib-kubernetes]
//	coordination.k8s.io  leases       resourceNames: [ib-kubernetes-leader]
//
// and no more: the API server applies resourceNames to a list whose field selector
// is that very metadata.name.
type incumbent struct {
	api  lister
	now  func() time.Time
	seen map[types.NamespacedName]renewal // leases that are held
}

// renewal is what a held lease said, and since when it has said no other thing.
type renewal struct {
	holder string
	at     time.Time // by the holder's clock, which is compared with itself alone
	since  time.Time // by ours
}

func newIncumbent(api lister, now func() time.Time) *incumbent {
	return &incumbent{api: api, now: now, seen: map[types.NamespacedName]renewal{}}
}

// incumbentError says that ib-kubernetes works, where, and what to do.
type incumbentError struct {
	found []string // places, with what was seen there
	in    string   // namespace of the first
}

func (e *incumbentError) Error() string {
	return fmt.Sprintf("ib-kubernetes works in this cluster (%s): scale it to 0 (kubectl -n %s scale deployment %s --replicas=0), or take it out of the NicClusterPolicy that runs it",
		strings.Join(e.found, "; "), e.in, incumbentDeployment)
}

func (e *incumbentError) add(in, what string) {
	if e.in == "" {
		e.in = in
	}
	e.found = append(e.found, what)
}

// look returns nil when ib-kubernetes does not work here, an *incumbentError when it
// does, and any other error when the API server did not say.
func (i *incumbent) look(ctx context.Context) error {
	found := &incumbentError{}
	err := errors.Join(i.lookForPods(ctx, found), i.lookForLeader(ctx, found))
	if len(found.found) > 0 {
		return found
	}
	return err
}

// lookForPods takes ready pods for working ones: v1.1.1 has no probes, and says nothing
// else of itself. One that is being ended may have a change of UFM under way.
func (i *incumbent) lookForPods(ctx context.Context, found *incumbentError) error {
	var list appsv1.DeploymentList
	if err := i.list(ctx, &list, "deployments.apps", incumbentDeployment); err != nil {
		return err
	}
	for _, d := range list.Items {
		ready, ending := d.Status.ReadyReplicas, int32(0)
		if d.Status.TerminatingReplicas != nil { // older API servers do not tell
			ending = *d.Status.TerminatingReplicas
		}
		if ready+ending > 0 {
			found.add(d.Namespace, fmt.Sprintf("deployment %s/%s: %d pods ready, %d ending", d.Namespace, d.Name, ready, ending))
		}
	}
	return nil
}

func (i *incumbent) lookForLeader(ctx context.Context, found *incumbentError) error {
	var list coordinationv1.LeaseList
	if err := i.list(ctx, &list, "leases.coordination.k8s.io", incumbentLease); err != nil {
		return err
	}
	held := map[types.NamespacedName]renewal{}
	for j := range list.Items {
		l := &list.Items[j]
		r, lasts := i.renewalOf(l)
		if r.holder == "" {
			continue // let go
		}
		held[client.ObjectKeyFromObject(l)] = r
		if i.now().Sub(r.since) < lasts {
			found.add(l.Namespace, fmt.Sprintf("lease %s/%s, held by %s", l.Namespace, l.Name, r.holder))
		}
	}
	i.seen = held
	return nil
}

// renewalOf is what a lease says, and how long that counts. As in a leader election it
// has expired when nothing new came of it for its duration, by our clock: the holder's may
// be wrong. One that is seen for the first time counts in full.
func (i *incumbent) renewalOf(l *coordinationv1.Lease) (renewal, time.Duration) {
	r, lasts := renewal{since: i.now()}, incumbentLeaseTime
	if l.Spec.HolderIdentity != nil {
		r.holder = *l.Spec.HolderIdentity
	}
	if l.Spec.RenewTime != nil {
		r.at = l.Spec.RenewTime.Time
	}
	if s := l.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		lasts = time.Duration(*s) * time.Second
	}
	if was, ok := i.seen[client.ObjectKeyFromObject(l)]; ok && was.holder == r.holder && was.at.Equal(r.at) {
		r.since = was.since
	}
	return r, lasts
}

func (i *incumbent) list(ctx context.Context, into client.ObjectList, resource, name string) error {
	err := i.api.List(ctx, into, client.MatchingFields{"metadata.name": name})
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("look for ib-kubernetes: a permission is missing: grant the verb list on %s, resourceNames [%s], in a ClusterRole: %w", resource, name, err)
	}
	if err != nil {
		return fmt.Errorf("look for ib-kubernetes: list %s named %s: %w", resource, name, err)
	}
	return nil
}

// outwait returns when ib-kubernetes does not work here, or with ctx. The lease is held
// meanwhile: one replica looks, the others stand by, and where it is seen to be gone
// work begins at once. That it waits is seen in the log, which has no leader.elected, and
// at /readyz.
func (c *Controller) outwait(ctx context.Context) error {
	for {
		err := c.incumbent.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.waiting.Store(&err)
		if err == nil {
			c.notes.forget("incumbent")
			return nil
		}
		c.sayIncumbent(err, "this replica changes nothing, and goes on by itself when that is gone")
		if err := c.sleep(ctx, incumbentPoll); err != nil {
			return err
		}
	}
}

// Waiting is why this replica leads and does nothing: ib-kubernetes works, or whether it
// does cannot be known. It is nil when this replica works, or does not lead.
func (c *Controller) Waiting() error {
	if err := c.waiting.Load(); err != nil {
		return *err
	}
	return nil
}

// stepAside returns an error when ib-kubernetes has come while this replica leads. Its
// process ends with that, and Kubernetes starts one that waits: all that this one has in
// memory is from before the other began to change pods and UFM, and must be read anew.
// Whoever cannot be asked has not come: the API server may be away, and work goes on.
func (c *Controller) stepAside(ctx context.Context) error {
	err := c.incumbent.look(ctx)
	var works *incumbentError
	switch {
	case errors.As(err, &works):
		c.sayIncumbent(err, "it came while this replica led, which ends, and waits when it is started again")
		return fmt.Errorf("stop leading: %w", err)
	case err != nil && ctx.Err() == nil:
		c.sayIncumbent(err, "this replica goes on")
	case err == nil:
		c.notes.forget("incumbent")
	}
	return nil
}

// sayIncumbent says once that ib-kubernetes works, or why that cannot be known.
func (c *Controller) sayIncumbent(err error, detail string) {
	if !c.notes.once("incumbent", err.Error()) {
		return
	}
	event := record.WorkFailed
	var works *incumbentError
	if errors.As(err, &works) {
		event = record.IncumbentFound
	}
	c.rec.Log(event, record.Fields{Detail: detail, Err: err})
}

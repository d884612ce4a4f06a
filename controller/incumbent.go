package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/rights"
)

const (
	// incumbentDeployment is what its own manifests and NVIDIA's network operator call it.
	incumbentDeployment = "ib-kubernetes"
	// incumbentLease is the lock of its versions with a leader election. v1.1.1, the last
	// release, has none: there the Deployment alone tells.
	incumbentLease = "ib-kubernetes-leader"
	// incumbentAccount is what its manifests and network-operator call its account.
	incumbentAccount = "ib-kubernetes"
	// incumbentLeaseTime is what a lease lasts that does not say; theirs do.
	incumbentLeaseTime = time.Minute
)

// lister is what is needed of the API server to find ib-kubernetes.
type lister interface {
	List(context.Context, client.ObjectList, ...client.ListOption) error
}

// Rights tell what service accounts may do; a rights.Reviewer does.
type Rights interface {
	May(ctx context.Context, account types.NamespacedName, oneOf ...rights.Right) (bool, error)
}

// incumbentRights are those that ib-kubernetes cannot work without: it writes GUIDs into the
// pods of all namespaces. All its releases patch; who updates could do the same.
func incumbentRights() []rights.Right {
	return []rights.Right{{Verb: "patch", Resource: "pods"}, {Verb: "update", Resource: "pods"}}
}

// incumbent knows whether ib-kubernetes works in this cluster, in whatever namespace. It
// and ibfabric beside each other would give one GUID to two pods, and each would take out
// of UFM what the other put in. For one goroutine.
//
// Any tenant can give that name to something, and must not stop the work for all by it: what
// is found counts where its account may change the pods of all namespaces. Whether it may
// is asked only then. Where that cannot be known it counts, since two at work are worse
// than none.
//
// It needs a ClusterRole with the verb list on
//
//	apps                 deployments  resourceNames: [ib-kubernetes]
//	coordination.k8s.io  leases       resourceNames: [ib-kubernetes-leader]
//
// and create on subjectaccessreviews.authorization.k8s.io, and no more: the API server
// applies resourceNames to a list whose field selector is that very metadata.name.
type incumbent struct {
	api    lister
	rights Rights
	now    func() time.Time
	seen   map[types.NamespacedName]renewal // leases that are held
	proven map[string]bool                  // places whose account had the right, while they are there
	// accounts are those of the Deployments that were seen last, by namespace.
	accounts map[string]types.NamespacedName
	passed   []string // what the last look did not count, and why not
}

// sign is something by which ib-kubernetes may be known.
type sign struct {
	in, place string
	what      string // place, and what is seen there
	account   types.NamespacedName
	err       error // why the account is not known
}

// renewal is what a held lease said, and since when it has said no other thing.
type renewal struct {
	holder string
	at     time.Time // by the holder's clock, which is compared with itself alone
	since  time.Time // by ours
}

func newIncumbent(api lister, r Rights, now func() time.Time) *incumbent {
	return &incumbent{api: api, rights: r, now: now, seen: map[types.NamespacedName]renewal{}}
}

// incumbentError says that ib-kubernetes works, where, and what to do.
type incumbentError struct {
	found  []string // places, with what was seen there
	in     string   // namespace of the first
	unsure error    // why one of them counts whose account's rights are not known
}

func (e *incumbentError) Error() string {
	text := fmt.Sprintf("ib-kubernetes works in this cluster (%s): scale it to 0 (kubectl -n %s scale deployment %s --replicas=0), or take it out of the NicClusterPolicy that runs it",
		strings.Join(e.found, "; "), e.in, incumbentDeployment)
	if e.unsure != nil {
		text += fmt.Sprintf("; it counts although what its account may do is not known: %v", e.unsure)
	}
	return text
}

func (e *incumbentError) add(s sign, err error) {
	if len(e.found) == 0 {
		e.in = s.in
	}
	e.found = append(e.found, s.what)
	if e.unsure == nil {
		e.unsure = err
	}
}

// look returns nil when ib-kubernetes does not work here, an *incumbentError when it
// does, and any other error when the API server did not say.
func (i *incumbent) look(ctx context.Context) error {
	pods, accounts, err := i.lookForPods(ctx)
	unknown := err
	switch {
	case err == nil:
		i.accounts = accounts
	case i.accounts != nil: // for a moment: what was known stands
		accounts, unknown = i.accounts, nil
	}
	leaders, leaderErr := i.lookForLeader(ctx, accounts, unknown)
	found := i.judge(ctx, append(pods, leaders...), err != nil || leaderErr != nil)
	if ctx.Err() != nil {
		return ctx.Err() // and not that it is unsure
	}
	if len(found.found) > 0 {
		return found
	}
	return errors.Join(err, leaderErr)
}

// judge takes those signs for ib-kubernetes whose account has its rights, or may have. One
// that once had them counts until it is gone: who deletes ib-kubernetes takes its rights
// first, and its pods may have a change of UFM under way still. Of those nothing is gone that
// was not seen to be.
func (i *incumbent) judge(ctx context.Context, signs []sign, unseen bool) *incumbentError {
	found, proven := &incumbentError{}, map[string]bool{}
	if unseen {
		maps.Copy(proven, i.proven)
	}
	i.passed = nil
	for _, s := range signs {
		may, err := i.proven[s.place], s.err
		if !may && err == nil {
			may, err = i.rights.May(ctx, s.account, incumbentRights()...)
		}
		switch {
		case may:
			proven[s.place] = true
			found.add(s, nil)
		case err != nil:
			found.add(s, err)
		default:
			i.passed = append(i.passed, fmt.Sprintf("%s is called like ib-kubernetes, but its account %s may not change the pods of all namespaces, as that must: it is not waited for", s.place, s.account))
		}
	}
	i.proven = proven
	return found
}

// lookForPods takes ready pods for working ones: v1.1.1 has no probes, and says nothing
// else of itself. One that is being ended may have a change of UFM under way. accounts are
// those of all Deployments of that name, by namespace.
func (i *incumbent) lookForPods(ctx context.Context) (signs []sign, accounts map[string]types.NamespacedName, err error) {
	var list appsv1.DeploymentList
	if err := i.list(ctx, &list, "deployments.apps", incumbentDeployment); err != nil {
		return nil, nil, err
	}
	accounts = map[string]types.NamespacedName{}
	for _, d := range list.Items {
		accounts[d.Namespace] = rights.AccountOf(d.Namespace, d.Spec.Template.Spec)
		ready, ending := d.Status.ReadyReplicas, int32(0)
		if d.Status.TerminatingReplicas != nil { // older API servers do not tell
			ending = *d.Status.TerminatingReplicas
		}
		if ready+ending > 0 {
			place := fmt.Sprintf("deployment %s/%s", d.Namespace, d.Name)
			signs = append(signs, sign{in: d.Namespace, place: place, account: accounts[d.Namespace],
				what: fmt.Sprintf("%s: %d pods ready, %d ending", place, ready, ending)})
		}
	}
	return signs, accounts, nil
}

// lookForLeader takes the account of a lease's holder for that of the Deployment beside it;
// accountErr is why those are not known.
func (i *incumbent) lookForLeader(ctx context.Context, accounts map[string]types.NamespacedName, accountErr error) (signs []sign, err error) {
	var list coordinationv1.LeaseList
	if err := i.list(ctx, &list, "leases.coordination.k8s.io", incumbentLease); err != nil {
		return nil, err
	}
	held := map[types.NamespacedName]renewal{}
	for j := range list.Items {
		l := &list.Items[j]
		r, lasts := i.renewalOf(l)
		if r.holder == "" {
			continue // let go
		}
		held[client.ObjectKeyFromObject(l)] = r
		if i.now().Sub(r.since) >= lasts {
			continue
		}
		account, ok := accounts[l.Namespace]
		if !ok {
			account = types.NamespacedName{Namespace: l.Namespace, Name: incumbentAccount}
		}
		place := fmt.Sprintf("lease %s/%s", l.Namespace, l.Name)
		signs = append(signs, sign{in: l.Namespace, place: place, account: account, err: accountErr, what: place + ", held by " + r.holder})
	}
	i.seen = held
	return signs, nil
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

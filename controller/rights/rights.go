// Package rights asks the API server what a service account may do. A name is anybody's to
// give; what tells the real ib-kubernetes and the real Spiderpool from a tenant's pods of
// the same name is the rights in all namespaces that neither can work without.
package rights

import (
	"context"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// answerLasts is how long an answer is gone by: loops ask again every two seconds.
	answerLasts = time.Minute
	// failureLasts is how long nobody asks again what was not answered. What is not known
	// keeps others from their work, so it is shorter.
	failureLasts = 10 * time.Second
	// trustLasts is how long the last answer is gone by where none comes: an authorizer that
	// is away for a moment must not make somebody else of an account.
	trustLasts = time.Hour
)

// Right is what may be done in all namespaces.
type Right struct {
	Verb, Group, Resource, Subresource string
}

func (r Right) String() string {
	what := schema.GroupResource{Group: r.Group, Resource: r.Resource}.String()
	if r.Subresource != "" {
		what += "/" + r.Subresource
	}
	return r.Verb + " " + what
}

// AccountOf is the service account of pods in a namespace. The API server takes the
// deprecated field where the other is empty, and "default" where both are.
func AccountOf(namespace string, pods corev1.PodSpec) types.NamespacedName {
	for _, name := range []string{pods.ServiceAccountName, pods.DeprecatedServiceAccount} {
		if name != "" {
			return types.NamespacedName{Namespace: namespace, Name: name}
		}
	}
	return types.NamespacedName{Namespace: namespace, Name: "default"}
}

// Creator is what is needed of the API server.
type Creator interface {
	Create(context.Context, client.Object, ...client.CreateOption) error
}

// Reviewer answers what accounts may do, by SubjectAccessReviews, and keeps the answers
// for a minute, or for an hour while no other comes. It needs a ClusterRole with the verb create on
// subjectaccessreviews.authorization.k8s.io.
type Reviewer struct {
	api Creator
	now func() time.Time

	mu      sync.Mutex // protects answers
	answers map[question]answer
}

type question struct {
	account types.NamespacedName
	right   Right
}

type answer struct {
	may   bool
	err   error
	until time.Time // nobody asks again before
	at    time.Time // when it was given; zero of none
}

// New makes a Reviewer that asks api.
func New(api Creator, now func() time.Time) *Reviewer {
	return &Reviewer{api: api, now: now, answers: map[question]answer{}}
}

// May reports whether an account has one of these rights. With an error that is not known.
func (r *Reviewer) May(ctx context.Context, account types.NamespacedName, oneOf ...Right) (bool, error) {
	var failed error
	for _, right := range oneOf {
		may, err := r.may(ctx, question{account, right})
		if may {
			return true, nil // whatever became of the others
		}
		if err != nil {
			failed = err
		}
	}
	return false, failed
}

func (r *Reviewer) may(ctx context.Context, q question) (bool, error) {
	if a, ok := r.kept(q); ok {
		return a.may, a.err
	}
	last, _ := r.kept(q)
	may, err := r.ask(ctx, q)
	now := r.now()
	a := answer{may: may, err: err, until: now.Add(answerLasts), at: now}
	switch {
	case err == nil:
	case !last.at.IsZero() && !apierrors.IsForbidden(err) && now.Sub(last.at) < trustLasts:
		a = answer{may: last.may, until: now.Add(failureLasts), at: last.at}
	default:
		a = answer{err: err, until: now.Add(failureLasts)}
	}
	if ctx.Err() == nil { // else it says nothing of the account
		r.keep(q, a)
	}
	return a.may, a.err
}

// kept is what was answered last; fresh says that nobody need ask again yet.
func (r *Reviewer) kept(q question) (a answer, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.answers[q]
	return a, ok && r.now().Before(a.until)
}

// keep takes an answer down, and drops those that are of no use any more: whoever makes
// accounts must not fill the memory.
func (r *Reviewer) keep(q question, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for other, old := range r.answers {
		if !now.Before(old.until) && now.Sub(old.at) >= trustLasts {
			delete(r.answers, other)
		}
	}
	r.answers[q] = a
}

// ask asks as the account's own requests would be judged: with its groups, and, no namespace
// being named, for all of them.
func (r *Reviewer) ask(ctx context.Context, q question) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + q.account.Namespace + ":" + q.account.Name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + q.account.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: q.right.Verb, Group: q.right.Group, Resource: q.right.Resource, Subresource: q.right.Subresource,
		},
	}}
	err := r.api.Create(ctx, review)
	switch s := review.Status; {
	case apierrors.IsForbidden(err):
		return false, fmt.Errorf("ask whether account %s may %s: a permission is missing: grant the verb create on subjectaccessreviews.authorization.k8s.io, in a ClusterRole: %w", q.account, q.right, err)
	case err != nil:
		return false, fmt.Errorf("ask whether account %s may %s: %w", q.account, q.right, err)
	case !s.Allowed && s.EvaluationError != "": // an authorizer that is away allows nothing
		return false, fmt.Errorf("ask whether account %s may %s: the API server could not tell: %s; mend its authorizer", q.account, q.right, s.EvaluationError)
	default:
		return s.Allowed, nil
	}
}

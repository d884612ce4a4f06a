package rights

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apiServer answers reviews by answer, and keeps what it was asked.
type apiServer struct {
	answer func(*authorizationv1.SubjectAccessReview) error
	asked  []authorizationv1.SubjectAccessReviewSpec
}

func (a *apiServer) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	review := o.(*authorizationv1.SubjectAccessReview)
	a.asked = append(a.asked, review.Spec)
	return a.answer(review)
}

func allows(verbs ...string) func(*authorizationv1.SubjectAccessReview) error {
	return func(r *authorizationv1.SubjectAccessReview) error {
		for _, verb := range verbs {
			r.Status.Allowed = r.Status.Allowed || r.Spec.ResourceAttributes.Verb == verb
		}
		return nil
	}
}

func account() types.NamespacedName { return types.NamespacedName{Namespace: "a", Name: "b"} }

var (
	patch  = Right{Verb: "patch", Resource: "pods"}
	update = Right{Verb: "update", Group: "g.io", Resource: "things", Subresource: "status"}
)

func TestAnAccountIsAskedForWithItsGroupsInAllNamespaces(t *testing.T) {
	api := &apiServer{answer: allows("update")}
	may, err := New(api, time.Now).May(t.Context(), account(), patch, update)
	if !may || err != nil {
		t.Errorf("one of the rights is there: %v, %v", may, err)
	}
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"}
	want := []authorizationv1.SubjectAccessReviewSpec{
		{User: "system:serviceaccount:a:b", Groups: groups, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "patch", Resource: "pods"}},
		{User: "system:serviceaccount:a:b", Groups: groups, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "update", Group: "g.io", Resource: "things", Subresource: "status"}},
	}
	if diff := cmp.Diff(want, api.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAnAnswerIsKeptForAMinuteAndAFailureForLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiServer{answer: allows()}
		r := New(api, time.Now)
		asked := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			_, _ = r.May(t.Context(), account(), patch)
			if len(api.asked) != want {
				t.Errorf("asked %d times, and not %d", len(api.asked), want)
			}
		}
		asked(0, 1)
		asked(answerLasts-1, 1)
		api.answer = func(*authorizationv1.SubjectAccessReview) error { return errors.New("busy") }
		asked(1, 2)
		asked(failureLasts-1, 2)
		asked(1, 3)
		if _, err := r.May(t.Context(), types.NamespacedName{Namespace: "a", Name: "other"}, patch); err == nil || len(api.asked) != 4 {
			t.Errorf("one account's answer is another's: %v", err)
		}
		time.Sleep(answerLasts)
		asked(0, 5)
		if len(r.answers) != 1 {
			t.Errorf("%d answers are kept of accounts that nobody asks about", len(r.answers))
		}
	})
}

func TestTheLastAnswerStandsWhileAnAuthorizerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, right := range []Right{patch, update} { // one that the account has, one that it has not
			api := &apiServer{answer: allows("patch")}
			r := New(api, time.Now)
			may := func(when string, want, known bool) {
				t.Helper()
				if got, err := r.May(t.Context(), account(), right); got != want || (err == nil) != known {
					t.Errorf("%s, %s: %v, %v", right, when, got, err)
				}
			}
			has := right == patch
			may("at first", has, true)
			api.answer = func(*authorizationv1.SubjectAccessReview) error { return errors.New("away") }
			for range 30 {
				time.Sleep(answerLasts)
				may("while nobody answers", has, true)
			}
			time.Sleep(trustLasts / 2)
			may("after too long", false, false)
			api.answer = allows("patch")
			time.Sleep(failureLasts)
			may("when it answers again", has, true)
			api.answer = func(*authorizationv1.SubjectAccessReview) error {
				return apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no"))
			}
			time.Sleep(answerLasts)
			may("when nobody may ask any more", false, false)
		}
	})
}

func TestWhatTheAPIServerCannotTellIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*authorizationv1.SubjectAccessReview) error
		says   string
	}{
		"no permission": {func(*authorizationv1.SubjectAccessReview) error {
			return apierrors.NewForbidden(schema.GroupResource{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}, "", errors.New("no"))
		}, "a permission is missing: grant the verb create on subjectaccessreviews.authorization.k8s.io, in a ClusterRole"},
		"away": {func(*authorizationv1.SubjectAccessReview) error { return errors.New("connection refused") }, "whether account a/b may update things.g.io/status: connection refused"},
		"an authorizer that is away": {func(r *authorizationv1.SubjectAccessReview) error {
			r.Status.EvaluationError = "webhook timed out"
			return nil
		}, "webhook timed out"},
	} {
		may, err := New(&apiServer{answer: c.answer}, time.Now).May(t.Context(), account(), update)
		if may || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, may, err)
		}
	}
}

func TestACallThatWasCutOffIsNoAnswer(t *testing.T) {
	api := &apiServer{answer: func(*authorizationv1.SubjectAccessReview) error { return context.Canceled }}
	r := New(api, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = r.May(ctx, account(), patch)
	api.answer = allows("patch")
	if may, err := r.May(t.Context(), account(), patch); !may || err != nil {
		t.Errorf("%v, %v", may, err)
	}
}

func TestTheAccountOfPodsIsTheOneThatTheAPIServerTakes(t *testing.T) {
	for want, spec := range map[string]corev1.PodSpec{
		"a/new":     {ServiceAccountName: "new", DeprecatedServiceAccount: "old"},
		"a/old":     {DeprecatedServiceAccount: "old"},
		"a/default": {},
	} {
		if got := AccountOf("a", spec).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

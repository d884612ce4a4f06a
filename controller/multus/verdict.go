package multus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
)

// judgeEvery is how often what is there is judged anew: nothing tells when an account gets
// the rights that make it Spiderpool's.
const judgeEvery = 30 * time.Second

// Rights tell what service accounts may do; a rights.Reviewer does.
type Rights interface {
	May(ctx context.Context, account types.NamespacedName, oneOf ...rights.Right) (bool, error)
}

// controllerRights are those without which Spiderpool's controller could make no network.
func controllerRights() []rights.Right {
	const group, resource = "k8s.cni.cncf.io", "network-attachment-definitions"
	return []rights.Right{{Verb: "create", Group: group, Resource: resource}, {Verb: "update", Group: group, Resource: resource}}
}

// agentRights are those without which its agent could give no address: it takes one down in
// the pool and in an endpoint. All its releases have them, in one role with the controller
// or in one of their own.
func agentRights() []rights.Right {
	const group = "spiderpool.spidernet.io"
	return []rights.Right{
		{Verb: "update", Group: group, Resource: "spiderippools", Subresource: "status"},
		{Verb: "create", Group: group, Resource: "spiderendpoints"},
	}
}

// verdict is what Spiderpool was judged to be.
type verdict struct {
	controller string // where it runs, "" for nowhere
	settings   Settings
}

// judgement is one round of it.
type judgement struct {
	found  bool            // there is something of these names
	passed []string        // what does not count, and why not
	proven map[string]bool // places whose account has its rights, or had them
	err    error           // what could not be known, the first of it
}

// judgeOn judges until ctx ends. It is done beside those who want to know, since the webhook
// must not wait for an API server.
func (s *Spiderpool) judgeOn(ctx context.Context) {
	if !toolscache.WaitForCacheSync(ctx.Done(), s.controllers.HasSynced, s.agents.HasSynced) {
		return
	}
	for {
		found := s.judge(ctx)
		if ctx.Err() != nil {
			return
		}
		var again <-chan time.Time
		if found {
			again = s.after(judgeEvery)
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-again:
		}
	}
}

// judge comes to a verdict, and tells the followers of a new one.
func (s *Spiderpool) judge(ctx context.Context) (found bool) {
	j := judgement{proven: map[string]bool{}}
	there := s.agentThere(ctx, &j)
	now := verdict{controller: s.controllerAt(ctx, &j), settings: Settings{Coordinator: there, SpiderpoolIPAM: there}}
	if ctx.Err() != nil {
		return j.found // accounts were not asked for in full
	}
	s.proven = j.proven
	s.say(j)
	if was := s.verdict.Swap(&now); was == nil || *was != now {
		s.tell()
	}
	return j.found
}

// say says what does not count, and once, whatever more there comes of it, that something
// counts although it may be nobody's.
func (s *Spiderpool) say(j judgement) {
	s.namesakes.Say(j.passed)
	var nobody types.NamespacedName
	if j.err == nil {
		s.told.forget(nobody, record.WorkFailed)
	} else if s.told.once(nobody, record.WorkFailed, "") {
		s.rec.Log(record.WorkFailed, record.Fields{Detail: "what is called like Spiderpool counts until that is known", Err: fmt.Errorf("look for Spiderpool: %w", j.err)})
	}
}

func (s *Spiderpool) controllerAt(ctx context.Context, j *judgement) string {
	var found []string
	for _, d := range sorted[*appsv1.Deployment](s.controllers.GetStore()) {
		pods := or(d.Spec.Replicas, 1) + d.Status.Replicas
		if d.Status.TerminatingReplicas != nil { // older API servers do not tell
			pods += *d.Status.TerminatingReplicas
		}
		place := fmt.Sprintf("deployment %s/%s", d.Namespace, d.Name)
		if pods > 0 && s.counts(ctx, j, place, d.Namespace, d.Spec.Template.Spec, "make networks in all namespaces", controllerRights()) {
			found = append(found, place)
		}
	}
	return strings.Join(found, ", ")
}

func (s *Spiderpool) agentThere(ctx context.Context, j *judgement) (there bool) {
	for _, d := range sorted[*appsv1.DaemonSet](s.agents.GetStore()) {
		place := fmt.Sprintf("daemonset %s/%s", d.Namespace, d.Name)
		if s.counts(ctx, j, place, d.Namespace, d.Spec.Template.Spec, "write Spiderpool's pools", agentRights()) {
			there = true
		}
	}
	return there
}

// counts reports whether something that is called like a part of Spiderpool is to be taken
// for it: its account may do what that must. So is one whose account's rights are not known,
// as two makers of one NAD are worse than none, and one that had them, until it is gone: a
// role is deleted and made anew by some who upgrade.
func (s *Spiderpool) counts(ctx context.Context, j *judgement, place, namespace string, pods corev1.PodSpec, must string, oneOf []rights.Right) bool {
	j.found = true
	if s.proven[place] {
		j.proven[place] = true
		return true
	}
	account := rights.AccountOf(namespace, pods)
	may, err := s.rights.May(ctx, account, oneOf...)
	if may {
		j.proven[place] = true
	}
	if err != nil && j.err == nil {
		j.err = err
	}
	if !may && err == nil {
		j.passed = append(j.passed, fmt.Sprintf("%s is called like Spiderpool's, but its account %s may not %s, as that must: it is not taken for it", place, account, must))
	}
	return may || err != nil
}

// sorted are the objects of a store, in the same order each time.
func sorted[T client.Object](store toolscache.Store) (all []T) {
	for _, obj := range store.List() {
		if o, ok := obj.(T); ok {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(a.GetNamespace(), b.GetNamespace()) })
	return all
}

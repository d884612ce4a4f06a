package multus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	appsv1client "k8s.io/client-go/kubernetes/typed/apps/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/optional"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
)

// What Spiderpool's chart calls its parts, in whatever namespace.
const (
	spiderpoolController = "spiderpool-controller" // a Deployment
	spiderpoolAgent      = "spiderpool-agent"      // a DaemonSet
)

// Spiderpool knows whether Spiderpool works in this cluster. Two makers of one NAD would
// write over each other for ever, so where its controller is to have pods, or has some
// still, NADs and injection are its own. That none is ready says nothing: it may be on its
// way to another node, and to change networks for so long would be worse than to wait.
// Where its agent is deployed, its plugins have somebody to ask, and a network may use them.
// What has only the name, as any tenant can give it, counts for neither: see verdict.go.
//
// It needs a ClusterRole with the verbs list and watch on
//
//	apps  deployments  resourceNames: [spiderpool-controller]
//	apps  daemonsets   resourceNames: [spiderpool-agent]
//
// and create on subjectaccessreviews.authorization.k8s.io, and no more: the API server
// applies resourceNames to a list whose field selector is that very metadata.name. It runs
// on every replica.
type Spiderpool struct {
	controllers, agents toolscache.SharedIndexInformer

	rights    Rights
	rec       *record.Recorder
	namesakes *rights.Namesakes
	told      said
	after     func(time.Duration) <-chan time.Time
	changed   chan struct{} // one of the two came, went or changed
	verdict   atomic.Pointer[verdict]
	proven    map[string]bool // places whose account had the rights, while they are there; judgeOn's own

	mu        sync.Mutex // protects what follows
	followers map[int]func()
	next      int
}

// NewSpiderpool makes one that reads from apps. What keeps it from knowing is logged to rec.
func NewSpiderpool(apps appsv1client.AppsV1Interface, r Rights, rec *record.Recorder, now func() time.Time, after func(time.Duration) <-chan time.Time) (*Spiderpool, error) {
	all := metav1.NamespaceAll
	s := &Spiderpool{
		controllers: optional.Named(&appsv1.Deployment{}, spiderpoolController,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return apps.Deployments(all).List(ctx, o)
			}, apps.Deployments(all).Watch),
		agents: optional.Named(&appsv1.DaemonSet{}, spiderpoolAgent,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return apps.DaemonSets(all).List(ctx, o)
			}, apps.DaemonSets(all).Watch),
		rights: r, rec: rec, namesakes: rights.NewNamesakes(rec, now), after: after,
		changed: make(chan struct{}, 1), followers: map[int]func(){},
	}
	for name, informer := range map[string]toolscache.SharedIndexInformer{
		"deployments.apps, resourceNames [" + spiderpoolController + "]": s.controllers,
		"daemonsets.apps, resourceNames [" + spiderpoolAgent + "]":       s.agents,
	} {
		if err := s.prepare(informer, name); err != nil {
			return nil, fmt.Errorf("watch %s: %w", name, err)
		}
	}
	return s, nil
}

// prepare has what an informer sees judged, and what it may not see said.
func (s *Spiderpool) prepare(informer toolscache.SharedIndexInformer, name string) error {
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if !apierrors.IsForbidden(err) { // the others come and go, as with every watch
			toolscache.DefaultWatchErrorHandler(ctx, r, err)
			return
		}
		if s.told.once(types.NamespacedName{Name: name}, record.WorkFailed, err.Error()) {
			s.rec.Log(record.WorkFailed, record.Fields{Detail: "networks and injection wait until it is known whether Spiderpool runs", Err: fmt.Errorf(
				"look for Spiderpool: a permission is missing: grant the verbs list and watch on %s, in a ClusterRole: %w", name, err)})
		}
	})
	if err != nil {
		return err
	}
	mark := func() {
		select {
		case s.changed <- struct{}{}:
		default: // it will be seen
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { mark() }, UpdateFunc: func(any, any) { mark() }, DeleteFunc: func(any) { mark() },
	})
	return err
}

// Start watches until ctx ends.
func (s *Spiderpool) Start(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { s.controllers.RunWithContext(ctx) })
	all.Go(func() { s.agents.RunWithContext(ctx) })
	all.Go(func() { s.judgeOn(ctx) })
	all.Wait()
	return nil
}

// NeedLeaderElection says that every replica looks: the webhook asks.
func (s *Spiderpool) NeedLeaderElection() bool { return false }

// Known reports whether both parts were looked for and judged. Until then nobody may take
// Spiderpool's absence for granted.
func (s *Spiderpool) Known() bool { return s.verdict.Load() != nil }

// Controller says where Spiderpool's controller runs, "" for nowhere.
func (s *Spiderpool) Controller() string {
	if v := s.verdict.Load(); v != nil {
		return v.controller
	}
	return ""
}

// Settings say what of Spiderpool the networks can use. An agent that is not ready counts:
// a restart of it must not change networks.
func (s *Spiderpool) Settings() Settings {
	if v := s.verdict.Load(); v != nil {
		return v.settings
	}
	return Settings{}
}

// follow calls f now, and when Spiderpool was judged otherwise, until stop. f must not wait
// for Spiderpool to be judged again.
func (s *Spiderpool) follow(f func()) (stop func()) {
	s.mu.Lock()
	id := s.next
	s.next++
	s.followers[id] = f
	s.mu.Unlock()
	f()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.followers, id)
	}
}

func (s *Spiderpool) tell() {
	s.mu.Lock()
	followers := make([]func(), 0, len(s.followers))
	for _, f := range s.followers {
		followers = append(followers, f)
	}
	s.mu.Unlock()
	for _, f := range followers {
		f()
	}
}

package multus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	appsv1client "k8s.io/client-go/kubernetes/typed/apps/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/optional"
	"github.com/ibfabric/ibfabric/controller/record"
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
//
// It needs a ClusterRole with the verbs list and watch on
//
//	apps  deployments  resourceNames: [spiderpool-controller]
//	apps  daemonsets   resourceNames: [spiderpool-agent]
//
// and no more: the API server applies resourceNames to a list whose field selector is
// that very metadata.name. It runs on every replica.
type Spiderpool struct {
	controllers, agents toolscache.SharedIndexInformer
}

// NewSpiderpool makes one that reads from apps. What keeps it from knowing is logged to rec.
func NewSpiderpool(apps appsv1client.AppsV1Interface, rec *record.Recorder) (*Spiderpool, error) {
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
	}
	var told said
	for name, informer := range map[string]toolscache.SharedIndexInformer{
		"deployments.apps, resourceNames [" + spiderpoolController + "]": s.controllers,
		"daemonsets.apps, resourceNames [" + spiderpoolAgent + "]":       s.agents,
	} {
		if err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
			if !apierrors.IsForbidden(err) { // the others come and go, as with every watch
				toolscache.DefaultWatchErrorHandler(ctx, r, err)
				return
			}
			if told.once(types.NamespacedName{Name: name}, record.WorkFailed, err.Error()) {
				rec.Log(record.WorkFailed, record.Fields{Detail: "networks and injection wait until it is known whether Spiderpool runs", Err: fmt.Errorf(
					"look for Spiderpool: a permission is missing: grant the verbs list and watch on %s, in a ClusterRole: %w", name, err)})
			}
		}); err != nil {
			return nil, fmt.Errorf("watch %s: %w", name, err)
		}
	}
	return s, nil
}

// Start watches until ctx ends.
func (s *Spiderpool) Start(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { s.controllers.RunWithContext(ctx) })
	both.Go(func() { s.agents.RunWithContext(ctx) })
	both.Wait()
	return nil
}

// NeedLeaderElection says that every replica looks: the webhook asks.
func (s *Spiderpool) NeedLeaderElection() bool { return false }

// Known reports whether both parts were looked for. Until then nobody may take
// Spiderpool's absence for granted.
func (s *Spiderpool) Known() bool { return s.controllers.HasSynced() && s.agents.HasSynced() }

// Controller says where Spiderpool's controller runs, "" for nowhere.
func (s *Spiderpool) Controller() string {
	var found []string
	for _, obj := range s.controllers.GetStore().List() {
		d, ok := obj.(*appsv1.Deployment)
		if !ok {
			continue
		}
		pods := or(d.Spec.Replicas, 1) + d.Status.Replicas
		if d.Status.TerminatingReplicas != nil { // older API servers do not tell
			pods += *d.Status.TerminatingReplicas
		}
		if pods > 0 {
			found = append(found, fmt.Sprintf("deployment %s/%s", d.Namespace, d.Name))
		}
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}

// Settings say what of Spiderpool the networks can use. An agent that is not ready counts:
// a restart of it must not change networks.
func (s *Spiderpool) Settings() Settings {
	there := len(s.agents.GetStore().ListKeys()) > 0
	return Settings{Coordinator: there, SpiderpoolIPAM: there}
}

// follow calls f when there is something new, until stop.
func (s *Spiderpool) follow(f func()) (stop func(), err error) {
	handler := toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f() }, UpdateFunc: func(any, any) { f() }, DeleteFunc: func(any) { f() },
	}
	var stops []func()
	for _, informer := range []toolscache.SharedIndexInformer{s.controllers, s.agents} {
		r, err := informer.AddEventHandler(handler)
		if err != nil {
			return nil, fmt.Errorf("watch Spiderpool: %w", err)
		}
		stops = append(stops, func() { _ = informer.RemoveEventHandler(r) }) // a stopped informer has none left
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}, nil
}

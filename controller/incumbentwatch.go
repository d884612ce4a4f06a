package controller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/optional"
	"github.com/ibfabric/ibfabric/controller/record"
)

// IncumbentWatch knows on every replica whether ib-kubernetes works, for the webhook: a gate
// that is put on a pod then is one that nobody lifts, since the leader waits.
//
// It needs the rights of an incumbent, and the verb watch on what that lists.
type IncumbentWatch struct {
	deployments, leases toolscache.SharedIndexInformer

	judge   *incumbent
	after   func(time.Duration) <-chan time.Time
	changed chan struct{} // something of these names came, went or changed
	works   atomic.Bool
}

// NewIncumbentWatch makes one. What keeps it from knowing is logged to rec; of whom it counts
// and whom not, the leader speaks.
func NewIncumbentWatch(api kubernetes.Interface, r Rights, rec *record.Recorder, now func() time.Time, after func(time.Duration) <-chan time.Time) (*IncumbentWatch, error) {
	deployments, leases := api.AppsV1().Deployments(metav1.NamespaceAll), api.CoordinationV1().Leases(metav1.NamespaceAll)
	w := &IncumbentWatch{
		deployments: optional.Named(&appsv1.Deployment{}, incumbentDeployment, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return deployments.List(ctx, o)
		}, deployments.Watch),
		leases: optional.Named(&coordinationv1.Lease{}, incumbentLease, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return leases.List(ctx, o)
		}, leases.Watch),
		after: after, changed: make(chan struct{}, 1),
	}
	w.judge = newIncumbent(stores{w}, r, now)
	for what, informer := range map[string]toolscache.SharedIndexInformer{
		"deployments.apps, resourceNames [" + incumbentDeployment + "]":      w.deployments,
		"leases.coordination.k8s.io, resourceNames [" + incumbentLease + "]": w.leases,
	} {
		if err := w.prepare(informer, what, rec); err != nil {
			return nil, fmt.Errorf("watch %s: %w", what, err)
		}
	}
	return w, nil
}

func (w *IncumbentWatch) prepare(informer toolscache.SharedIndexInformer, what string, rec *record.Recorder) error {
	var once sync.Once
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if !apierrors.IsForbidden(err) {
			toolscache.DefaultWatchErrorHandler(ctx, r, err)
			return
		}
		once.Do(func() {
			rec.Log(record.WorkFailed, record.Fields{Detail: "pods are gated whether or not ib-kubernetes works", Err: fmt.Errorf(
				"look for ib-kubernetes: a permission is missing: grant the verbs list and watch on %s, in a ClusterRole: %w", what, err)})
		})
	})
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.mark() }, UpdateFunc: func(any, any) { w.mark() }, DeleteFunc: func(any) { w.mark() },
	})
	return err
}

// mark has everything judged again.
func (w *IncumbentWatch) mark() {
	select {
	case w.changed <- struct{}{}:
	default: // it will be
	}
}

// NeedLeaderElection says that every replica watches.
func (w *IncumbentWatch) NeedLeaderElection() bool { return false }

// Start watches until ctx ends.
func (w *IncumbentWatch) Start(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { w.deployments.RunWithContext(ctx) })
	all.Go(func() { w.leases.RunWithContext(ctx) })
	all.Go(func() { w.follow(ctx) })
	all.Wait()
	return nil
}

// follow judges what is there, beside the webhook, which must not wait for an API server.
// Nothing tells when a lease runs out or an account gets a right: as long as there is
// something to judge, it is judged again.
func (w *IncumbentWatch) follow(ctx context.Context) {
	for {
		err := w.judge.look(ctx)
		if ctx.Err() != nil {
			return // the webhook may still serve, by what was known
		}
		w.works.Store(err != nil)
		var again <-chan time.Time
		if err != nil || len(w.judge.passed) > 0 {
			again = w.after(incumbentPoll)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-again:
		}
	}
}

// Works reports whether ib-kubernetes is known to work.
func (w *IncumbentWatch) Works() bool { return w.works.Load() }

// stores are what was watched, in the form that an incumbent asks for.
type stores struct{ w *IncumbentWatch }

// List implements lister.
func (s stores) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	switch list := into.(type) {
	case *appsv1.DeploymentList:
		for _, obj := range s.w.deployments.GetStore().List() {
			if d, ok := obj.(*appsv1.Deployment); ok {
				list.Items = append(list.Items, *d)
			}
		}
	case *coordinationv1.LeaseList:
		for _, obj := range s.w.leases.GetStore().List() {
			if l, ok := obj.(*coordinationv1.Lease); ok {
				list.Items = append(list.Items, *l)
			}
		}
	}
	return nil
}

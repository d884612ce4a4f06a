// Package partition looks after Partitions, on the leader alone: it gives those a PKey
// that name none, says how they stand, and keeps them until their last member is gone.
//
// What a Partition grants is not decided here: package grant reads that on every replica,
// from the specs and from the PKeys that this package writes into the status.
package partition

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// Config is what a Reconciler is told.
type Config struct {
	Mine   labels.Selector // which Partitions are this fabric's
	Range  pkey.Scope      // where PKeys are chosen from; empty: none are
	Scope  pkey.Scope      // which PKeys the controller may change
	Every  time.Duration   // shortest time between two writes of one status
	Resync time.Duration   // time between looks at all, for what no event tells of
}

// Facts are what a Reconciler asks of the controller; *controller.Controller has them.
type Facts interface {
	// Adopted is closed when this replica leads and knows what there is.
	Adopted() <-chan struct{}
	Tally(p pkey.PKey) grant.Tally
	// Taken are the PKeys that the ledger or UFM knows.
	Taken() map[pkey.PKey]bool
	// MayGive says for how long nothing may be given out yet; an error: never by this replica.
	MayGive() (wait time.Duration, err error)
}

// Deps are what a Reconciler works with.
type Deps struct {
	Cache  cache.Cache
	Client client.Client // direct
	Grants *grant.Watcher
	Record *record.Recorder
	Now    func() time.Time
	After  func(time.Duration) <-chan time.Time
}

// Reconciler looks after Partitions. Facts must be set before it starts.
type Reconciler struct {
	Facts Facts

	cfg  Config
	deps Deps
	// queue holds the names of Partitions to look at. One worker takes them, so that no two
	// get the same PKey.
	queue workqueue.TypedRateLimitingInterface[string]

	mu      sync.Mutex // protects written
	written map[string]time.Time

	last pkey.PKey // given out last, by the worker
}

// New makes a Reconciler.
func New(cfg Config, d Deps) *Reconciler {
	return &Reconciler{
		cfg: cfg, deps: d, written: map[string]time.Time{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](250*time.Millisecond, 30*time.Second)),
	}
}

// NeedLeaderElection says that only the leader looks after Partitions.
func (r *Reconciler) NeedLeaderElection() bool { return true }

// Touch has the Partition of a PKey looked at: its members may have changed. It takes no
// time, and what comes within Every is one look.
func (r *Reconciler) Touch(p pkey.PKey) {
	if terms, ok := r.deps.Grants.Terms(p); ok {
		r.queue.AddAfter(terms.Partition, r.restOf(terms.Partition))
	}
}

// restOf is how long a status must rest before it is written again.
func (r *Reconciler) restOf(name string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.written[name]
	if !ok {
		return 0
	}
	return max(0, r.cfg.Every-r.deps.Now().Sub(last))
}

// Start works until ctx ends, from when the controller knows what there is.
func (r *Reconciler) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.Facts.Adopted():
	}
	informer, err := r.deps.Cache.GetInformer(ctx, &v1alpha1.Partition{})
	if err == nil {
		_, err = informer.AddEventHandler(r.handler())
	}
	if err != nil {
		return fmt.Errorf("watch partitions: %w", err)
	}
	r.deps.Grants.OnChange(func(change grant.Change) { r.changed(ctx, change) })
	var group errgroup.Group
	group.Go(func() error { r.work(ctx); return nil })
	group.Go(func() error { r.resync(ctx); return nil })
	<-ctx.Done()
	r.queue.ShutDown()
	return group.Wait()
}

func (r *Reconciler) handler() toolscache.ResourceEventHandlerFuncs {
	add := func(obj any) {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if part, ok := obj.(*v1alpha1.Partition); ok {
			r.queue.Add(part.Name)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: add, DeleteFunc: add,
		UpdateFunc: func(from, to any) {
			a, aOK := from.(*v1alpha1.Partition)
			b, bOK := to.(*v1alpha1.Partition)
			// Our own writes of a status come back here, and mean nothing new.
			if !aOK || !bOK || a.Generation != b.Generation || a.Status.PKey != b.Status.PKey || len(a.Finalizers) != len(b.Finalizers) ||
				a.DeletionTimestamp.IsZero() != b.DeletionTimestamp.IsZero() || !labels.Equals(a.Labels, b.Labels) {
				add(to)
			}
		},
	}
}

// changed looks at the Partitions that say something else, and at those that bring them.
func (r *Reconciler) changed(ctx context.Context, change grant.Change) {
	if len(change.Partitions) == 0 {
		return
	}
	for name := range change.Partitions {
		r.queue.Add(name)
	}
	parts, err := r.list(ctx, r.deps.Cache)
	if err != nil {
		return // the next resync finds them
	}
	for _, part := range parts {
		brings := slices.ContainsFunc(part.Spec.Also, func(ref v1alpha1.PartitionRef) bool { return change.Partitions[ref.Name] })
		if brings || part.Status.PKey == "" { // one may have become free
			r.queue.Add(part.Name)
		}
	}
}

// list reads this fabric's Partitions; they are not to be changed.
func (r *Reconciler) list(ctx context.Context, from client.Reader) ([]v1alpha1.Partition, error) {
	var list v1alpha1.PartitionList
	if err := from.List(ctx, &list, client.MatchingLabelsSelector{Selector: r.cfg.Mine}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return list.Items, nil
}

// resync looks at all from time to time: UFM may have gone silent, or let a PKey go.
func (r *Reconciler) resync(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.deps.After(r.cfg.Resync):
		}
		parts, err := r.list(ctx, r.deps.Cache)
		if err != nil {
			continue // it is of the cache: ctx has ended
		}
		for _, part := range parts {
			r.queue.Add(part.Name)
		}
	}
}

func (r *Reconciler) work(ctx context.Context) {
	said := map[string]string{} // what failed last, by name: it is said once
	for {
		name, stop := r.queue.Get()
		if stop {
			return
		}
		again, err := r.reconcile(ctx, name)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			// A conflict is that the cache has not caught up with our own write.
			if !apierrors.IsConflict(err) && said[name] != err.Error() {
				said[name] = err.Error()
				r.deps.Record.Log(record.WorkFailed, record.Fields{Detail: "partition " + name, Attempt: r.queue.NumRequeues(name) + 1, Err: err})
			}
			r.queue.AddRateLimited(name)
		default:
			delete(said, name)
			r.queue.Forget(name)
			if again > 0 {
				r.queue.AddAfter(name, again)
			}
		}
		r.queue.Done(name)
	}
}

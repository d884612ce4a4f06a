// Package claim gives each PartitionClaim, on the leader alone, a Partition of its own and
// networks with the PKey of that. What comes of a Partition is the business of packages
// grant and partition: a claim is no more than a way to get one that needs no administrator.
//
// The claim's Partition grants the claim's namespace and no other, names no PKey, and is
// written by nobody else, since tenants may write claims and not Partitions. So a tenant
// who makes claims can get no PKey that somebody has.
package claim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/record"
)

// Config is what a Reconciler is told.
type Config struct {
	Mine labels.Selector // which claims, networks and Partitions are this fabric's
	// Sources are namespaces whose networks every claim may copy. A claim may always copy
	// those of its own, which its author can read anyway.
	Sources []string
}

// Deps are what a Reconciler works with.
type Deps struct {
	Cache  cache.Cache
	Client client.Client // direct
	Record *record.Recorder
	Now    func() time.Time
	// Adopted is closed when this replica leads and knows what there is.
	Adopted <-chan struct{}
}

const (
	workers = 4
	// within bounds the work on one claim, so that an API server that hangs is asked again.
	within = 30 * time.Second

	// The cache's indexes: claims by the networks that they read and make, Partitions by
	// their claim.
	byNetwork = "networks"
	byClaim   = "claim"
)

// Reconciler looks after PartitionClaims.
type Reconciler struct {
	cfg   Config
	deps  Deps
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	said  sync.Map // by claim: why it failed last, as text
}

// New makes a Reconciler.
func New(cfg Config, d Deps) *Reconciler {
	return &Reconciler{cfg: cfg, deps: d, queue: workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](250*time.Millisecond, time.Minute),
	)}
}

// NeedLeaderElection says that only the leader looks after claims.
func (r *Reconciler) NeedLeaderElection() bool { return true }

// Prime prepares the cache, before that is started.
func (r *Reconciler) Prime(ctx context.Context) error {
	err := r.deps.Cache.IndexField(ctx, &v1alpha1.PartitionClaim{}, byNetwork, networkKeys)
	if err == nil {
		err = r.deps.Cache.IndexField(ctx, &v1alpha1.Partition{}, byClaim, claimKeys)
	}
	if err != nil {
		return fmt.Errorf("index partition claims: %w", err)
	}
	return nil
}

// networkKeys are the networks that a claim reads, and those that it makes or would make.
func networkKeys(obj client.Object) (keys []string) {
	claim, ok := obj.(*v1alpha1.PartitionClaim)
	if !ok {
		return nil
	}
	for _, n := range claim.Spec.Networks {
		keys = append(keys, sourceOf(claim.Namespace, n).String(), copyOf(claim, n).String())
	}
	return keys
}

// claimKeys is the claim of a Partition, if it has the name that only ours have.
func claimKeys(obj client.Object) []string {
	name := obj.GetLabels()[v1alpha1.LabelClaim]
	if name == "" || uidOf(obj) == "" {
		return nil
	}
	return []string{types.NamespacedName{Namespace: obj.GetLabels()[v1alpha1.LabelClaimNamespace], Name: name}.String()}
}

// uidOf is the UID of the claim that a Partition stands for; "" is none.
func uidOf(part client.Object) types.UID {
	const front = "claim-"
	if name := part.GetName(); len(name) > len(front) && name[:len(front)] == front {
		return types.UID(name[len(front):])
	}
	return ""
}

// Start works until ctx ends, from when the controller knows what there is.
func (r *Reconciler) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.deps.Adopted:
	}
	for _, kind := range []client.Object{&v1alpha1.PartitionClaim{}, &v1alpha1.Partition{}, &nadv1.NetworkAttachmentDefinition{}} {
		if err := r.watch(ctx, kind); err != nil {
			return err
		}
	}
	var group errgroup.Group
	for range workers {
		group.Go(func() error {
			for r.next(ctx) {
			}
			return nil
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	return group.Wait()
}

// watch has the claims of all objects of a kind looked at, now and when one changes.
func (r *Reconciler) watch(ctx context.Context, kind client.Object) error {
	informer, err := r.deps.Cache.GetInformer(ctx, kind)
	if err != nil {
		return fmt.Errorf("watch %T: %w", kind, err)
	}
	look := func(obj any) { r.look(ctx, obj) }
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: look, DeleteFunc: look,
		UpdateFunc: func(from, to any) {
			a, aOK := from.(client.Object)
			b, bOK := to.(client.Object)
			if aOK && bOK && a.GetResourceVersion() == b.GetResourceVersion() {
				return // a resync
			}
			look(from)
			look(to)
		},
	})
	if err != nil {
		return fmt.Errorf("watch %T: %w", kind, err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil // ctx ended
	}
	return nil
}

// look has the claims looked at that an object concerns.
func (r *Reconciler) look(ctx context.Context, obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	switch o := obj.(type) {
	case *v1alpha1.PartitionClaim:
		r.queue.Add(client.ObjectKeyFromObject(o))
	case *v1alpha1.Partition:
		if len(claimKeys(o)) > 0 {
			r.queue.Add(types.NamespacedName{Namespace: o.Labels[v1alpha1.LabelClaimNamespace], Name: o.Labels[v1alpha1.LabelClaim]})
		}
	case *nadv1.NetworkAttachmentDefinition:
		if ref := ownerOf(o); ref != nil {
			r.queue.Add(types.NamespacedName{Namespace: o.Namespace, Name: ref.Name})
		}
		var list v1alpha1.PartitionClaimList
		err := r.deps.Cache.List(ctx, &list, client.MatchingFields{byNetwork: client.ObjectKeyFromObject(o).String()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return // it is of the cache: ctx has ended
		}
		for i := range list.Items {
			r.queue.Add(client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
}

func (r *Reconciler) next(ctx context.Context) bool {
	key, stop := r.queue.Get()
	if stop {
		return false
	}
	defer r.queue.Done(key)
	err := r.guarded(ctx, key)
	switch {
	case ctx.Err() != nil: // what is left is the next leader's
	case err == nil:
		r.said.Delete(key)
		r.queue.Forget(key)
	default:
		r.say(key, err)
		r.queue.AddRateLimited(key)
	}
	return true
}

// say logs a failure once until it is another. A refusal is in the claim's status, and a
// conflict says only that the cache has not caught up with our own write.
func (r *Reconciler) say(key types.NamespacedName, err error) {
	if errors.As(err, &refusedError{}) || apierrors.IsConflict(err) {
		return
	}
	if last, ok := r.said.Swap(key, err.Error()); !ok || last != err.Error() {
		r.deps.Record.Log(record.WorkFailed, record.Fields{Detail: "claim " + key.String(), Attempt: r.queue.NumRequeues(key) + 1, Err: err})
	}
}

// guarded turns a panic into an error: no object may stop the work for others.
func (r *Reconciler) guarded(ctx context.Context, key types.NamespacedName) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return r.sync(ctx, key)
}

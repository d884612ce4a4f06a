package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/optional"
	"github.com/ibfabric/ibfabric/controller/record"
)

// servedPoll is how often it is looked whether a kind has come. Whoever installs an operator
// does so minutes before networks need it.
const servedPoll = time.Minute

func poolGVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "spiderpool.spidernet.io", Version: "v2beta1", Resource: "spiderippools"}
}

// Others follows the objects of other operators. It is a runnable of every replica: the
// webhooks ask it.
type Others struct {
	client dynamic.Interface
	served func(context.Context, schema.GroupVersionResource) (bool, error)
	after  func(time.Duration) <-chan time.Time
	rec    *record.Recorder

	mu       sync.Mutex // protects what follows
	pools    Pools      // nil: not known
	reading  Pools      // what was seen so far
	policies map[types.NamespacedName]Policy
	told     map[string]bool // permissions that were said to be missing
	changed  []func()
}

// NewOthers makes one. served tells whether the API server serves a kind now.
func NewOthers(client dynamic.Interface, served func(context.Context, schema.GroupVersionResource) (bool, error), rec *record.Recorder, after func(time.Duration) <-chan time.Time) *Others {
	return &Others{
		client: client, served: served, after: after, rec: rec,
		reading: Pools{}, policies: map[types.NamespacedName]Policy{}, told: map[string]bool{},
	}
}

// NeedLeaderElection says that every replica knows them.
func (o *Others) NeedLeaderElection() bool { return false }

// Start follows them until ctx ends.
func (o *Others) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return o.kind(poolGVR()).Follow(ctx, optional.Handler{
			Absent: func(bool) {}, Put: o.putPool, Drop: o.dropPool, Synced: o.poolsKnown,
		})
	})
	group.Go(func() error {
		return o.kind(policyGVR()).Follow(ctx, optional.Handler{
			Absent: func(bool) {}, Put: o.putPolicy, Drop: o.dropPolicy, Synced: o.policiesKnown,
		})
	})
	return group.Wait()
}

func (o *Others) kind(gvr schema.GroupVersionResource) optional.Kind {
	return optional.Kind{
		Objects: o.client.Resource(gvr), Poll: servedPoll, After: o.after, Transform: slim,
		Served:    func(ctx context.Context) (bool, error) { return o.served(ctx, gvr) },
		Forbidden: func(err error) { o.forbidden(gvr, err) },
	}
}

// slim keeps of an object what is read here: a pool's status names every address in use.
func slim(obj any) (any, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, nil
	}
	u.SetManagedFields(nil)
	u.SetAnnotations(nil)
	delete(u.Object, "status")
	if u.GroupVersionKind().Group == poolGVR().Group {
		delete(u.Object, "spec")
	}
	return u, nil
}

func (o *Others) forbidden(gvr schema.GroupVersionResource, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told[gvr.Resource] {
		return
	}
	o.told[gvr.Resource] = true
	o.rec.Log(record.WorkFailed, record.Fields{Detail: "what depends on " + gvr.GroupResource().String() + " is not looked at", Err: fmt.Errorf(
		"a permission is missing: grant the verbs list and watch on %s, in a ClusterRole: %w", gvr.GroupResource(), err)})
}

// Missing are those of the pools with these names that do not exist; none while that is not
// known.
func (o *Others) Missing(names []string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pools.Missing(names)
}

// Advise says what to do about Missing ones.
func (o *Others) Advise(missing []string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pools.Advise(missing)
}

// known are the pools and policies now.
func (o *Others) known() (Pools, []Policy) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.pools), slices.Collect(maps.Values(o.policies))
}

// onChange lets f hear of every change; it must not block.
func (o *Others) onChange(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed = append(o.changed, f)
}

// change does something to what is known, and tells.
func (o *Others) change(do func()) {
	o.mu.Lock()
	do()
	changed := slices.Clone(o.changed)
	o.mu.Unlock()
	for _, tell := range changed {
		tell()
	}
}

func (o *Others) putPool(obj any) {
	if u, ok := obj.(*unstructured.Unstructured); ok && !o.has(u.GetName()) { // Spiderpool writes their statuses all the time
		o.change(func() { o.reading[u.GetName()] = true })
	}
}

func (o *Others) has(pool string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reading[pool]
}

func (o *Others) dropPool(obj any) {
	if name, err := toolscache.DeletionHandlingObjectToName(obj); err == nil {
		o.change(func() { delete(o.reading, name.Name) })
	}
}

func (o *Others) poolsKnown(known bool) {
	o.change(func() {
		if o.pools = o.reading; !known {
			o.pools, o.reading = nil, Pools{}
		}
	})
}

func (o *Others) putPolicy(obj any) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		p := ReadPolicy(u)
		o.change(func() { o.policies[p.Name] = p })
	}
}

func (o *Others) dropPolicy(obj any) {
	if name, err := toolscache.DeletionHandlingObjectToName(obj); err == nil {
		o.change(func() { delete(o.policies, name.AsNamespacedName()) })
	}
}

func (o *Others) policiesKnown(known bool) {
	if !known {
		o.change(func() { clear(o.policies) })
	}
}

package grant

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// Watcher keeps the Book of what a cache shows. It is a runnable of every replica: the
// webhooks of those that do not lead ask it too. Its methods are safe for concurrent use.
type Watcher struct {
	cache  cache.Cache
	mine   labels.Selector
	policy Policy

	book   atomic.Pointer[Book]
	first  chan struct{} // closed when there is a Book
	dirty  chan struct{} // something of it changed
	spaces atomic.Bool   // of that, namespaces too

	mu        sync.Mutex // protects listeners
	listeners []func(Change)
}

var _ Grants = (*Watcher)(nil)

// NamespaceType is what a cache must know namespaces as: nothing but metadata is read.
func NamespaceType() *metav1.PartialObjectMetadata {
	var ns metav1.PartialObjectMetadata
	ns.SetGroupVersionKind(namespaceKind())
	return &ns
}

// StripNamespace keeps of a namespace its labels, and the annotations that ask for networks,
// which the injection of networks reads from the same cache.
func StripNamespace(obj any) (any, error) {
	ns, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	out := NamespaceType()
	out.Name, out.UID, out.ResourceVersion, out.Labels = ns.Name, ns.UID, ns.ResourceVersion, ns.Labels
	for key, value := range ns.Annotations {
		if strings.HasPrefix(key, "cni.spidernet.io/") {
			metav1.SetMetaDataAnnotation(&out.ObjectMeta, key, value)
		}
	}
	return out, nil
}

// NewWatcher follows the Partitions that mine selects by their labels, and all namespaces.
func NewWatcher(c cache.Cache, mine labels.Selector, policy Policy) *Watcher {
	return &Watcher{cache: c, mine: mine, policy: policy, first: make(chan struct{}), dirty: make(chan struct{}, 1)}
}

// Prime starts the informers, before the cache itself is started.
func (w *Watcher) Prime(ctx context.Context) error {
	parts, err := w.cache.GetInformer(ctx, &v1alpha1.Partition{})
	if err == nil {
		_, err = parts.AddEventHandler(w.handler(func() {}))
	}
	if err != nil {
		return fmt.Errorf("watch partitions: %w", err)
	}
	spaces, err := w.cache.GetInformer(ctx, NamespaceType())
	if err == nil {
		_, err = spaces.AddEventHandler(w.handler(func() { w.spaces.Store(true) }))
	}
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	return nil
}

func (w *Watcher) handler(note func()) toolscache.ResourceEventHandlerFuncs {
	mark := func(any) {
		note()
		select {
		case w.dirty <- struct{}{}:
		default:
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: mark, DeleteFunc: mark,
		UpdateFunc: func(from, to any) {
			if !sameObject(from, to) {
				mark(to)
			}
		},
	}
}

// sameObject reports whether an update says nothing here: statuses and annotations change
// often, and of a status only the PKey is read.
func sameObject(from, to any) bool {
	a, aOK := from.(client.Object)
	b, bOK := to.(client.Object)
	if !aOK || !bOK || a.GetUID() != b.GetUID() || !maps.Equal(a.GetLabels(), b.GetLabels()) {
		return false
	}
	was, wasPartition := from.(*v1alpha1.Partition)
	is, isPartition := to.(*v1alpha1.Partition)
	if !wasPartition || !isPartition {
		return true
	}
	return was.Generation == is.Generation && was.Status.PKey == is.Status.PKey && was.DeletionTimestamp.IsZero() == is.DeletionTimestamp.IsZero()
}

// NeedLeaderElection says that every replica follows.
func (w *Watcher) NeedLeaderElection() bool { return false }

// Start follows until ctx ends. What comes while a Book is made goes into the next.
func (w *Watcher) Start(ctx context.Context) error {
	if !w.cache.WaitForCacheSync(ctx) {
		return nil // ctx ended
	}
	w.spaces.Store(true)
	for {
		if err := w.renew(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.dirty:
		}
	}
}

// renew makes the next Book and says what is different in it.
func (w *Watcher) renew(ctx context.Context) error {
	old := w.book.Load()
	spaces := w.spaces.Swap(false)
	next, err := w.read(ctx, old, spaces)
	if err != nil {
		return err
	}
	w.book.Store(next)
	if old == nil {
		close(w.first)
		return nil
	}
	change := compare(old, next, spaces)
	if len(change.Partitions)+len(change.Namespaces) == 0 {
		return nil
	}
	w.mu.Lock()
	listeners := w.listeners
	w.mu.Unlock()
	for _, tell := range listeners {
		tell(change)
	}
	return nil
}

// read makes a Book of the cache. Namespaces are many and their labels change seldom: they
// are read again only when one did.
func (w *Watcher) read(ctx context.Context, old *Book, withNamespaces bool) (*Book, error) {
	var list v1alpha1.PartitionList
	if err := w.cache.List(ctx, &list, client.MatchingLabelsSelector{Selector: w.mine}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list partitions from the cache: %w", err)
	}
	parts := make([]*v1alpha1.Partition, len(list.Items))
	for i := range list.Items {
		parts[i] = &list.Items[i]
	}
	if !withNamespaces {
		return NewBook(parts, old.namespaces, w.policy), nil
	}
	spaces, err := w.readNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	return NewBook(parts, spaces, w.policy), nil
}

func (w *Watcher) readNamespaces(ctx context.Context) (map[string]labels.Set, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(namespaceKind())
	if err := w.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list namespaces from the cache: %w", err)
	}
	spaces := make(map[string]labels.Set, len(list.Items))
	for i := range list.Items {
		spaces[list.Items[i].Name] = list.Items[i].Labels
	}
	return spaces, nil
}

// OnChange lets f hear of every Change from now on. f is called one at a time, when
// Resolve answers by the new Book already, and must not block.
func (w *Watcher) OnChange(f func(Change)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = append(w.listeners, f)
}

// Synced waits until there is a Book, and reports whether there is: false is that ctx
// ended first.
func (w *Watcher) Synced(ctx context.Context) bool {
	select {
	case <-w.first:
		return true
	case <-ctx.Done():
		return false
	}
}

// IsSynced reports whether there is a Book.
func (w *Watcher) IsSynced() bool { return w.book.Load() != nil }

// Book is the present one; an empty one, which grants nothing, before Synced.
func (w *Watcher) Book() *Book {
	if b := w.book.Load(); b != nil {
		return b
	}
	return &Book{policy: Policy{Require: true}}
}

// Resolve implements Grants by the present Book.
func (w *Watcher) Resolve(namespace string, claims []attach.Claim) ([]attach.Claim, error) {
	b := w.book.Load()
	if b == nil {
		return nil, fmt.Errorf("%w: the Partitions have not been read yet", ErrNotYet)
	}
	return b.Resolve(namespace, claims)
}

// Joined are the present Book's.
func (w *Watcher) Joined(claims []attach.Claim) []attach.Claim { return w.Book().Joined(claims) }

// Terms are the present Book's.
func (w *Watcher) Terms(p pkey.PKey) (Terms, bool) { return w.Book().Terms(p) }

func namespaceKind() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Namespace") }

// Package optional follows the objects of kinds that a cluster may or may not have: those
// of other operators, which come and go while the controller runs.
package optional

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"
)

// Served reports whether the API server serves a kind, whoever installed it. It needs no
// permission of its own.
func Served(ctx context.Context, d discovery.DiscoveryInterface, kind schema.GroupVersionResource) (bool, error) {
	list, err := discovery.ToDiscoveryInterfaceWithContext(d).ServerResourcesForGroupVersionWithContext(ctx, kind.GroupVersion().String())
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask the API server whether it serves %s: %w", kind.GroupResource(), err)
	}
	for _, r := range list.APIResources {
		if r.Name == kind.Resource {
			return true, nil
		}
	}
	return false, nil
}

// Kind is one to follow.
type Kind struct {
	Objects dynamic.ResourceInterface // in all namespaces
	Served  func(context.Context) (bool, error)
	// Poll is how often it is looked whether the kind is served, as long as it is not. While
	// it is, the watch itself tells when that ends.
	Poll      time.Duration
	After     func(time.Duration) <-chan time.Time
	Transform toolscache.TransformFunc    // nil: objects are kept as they come
	Wait      []toolscache.InformerSynced // what must be known before Synced is called
	Forbidden func(error)                 // hears that a permission is missing; nil: nobody does
}

// Handler hears of a kind, one call at a time.
type Handler struct {
	Absent func(bool) // whether the kind is served, each time that it was looked
	Put    func(any)  // an object, new or changed
	Drop   func(any)  // one that is gone, or what the watch last saw of it
	Synced func(bool) // all there is was put; false: the kind is gone, or ctx ended
}

// Follow follows the kind until ctx ends.
func (k Kind) Follow(ctx context.Context, h Handler) error {
	for k.untilServed(ctx, h) {
		if err := k.watch(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// untilServed returns true when the kind is served, and false when ctx ended.
func (k Kind) untilServed(ctx context.Context, h Handler) bool {
	for {
		served, err := k.Served(ctx)
		if err == nil {
			h.Absent(!served)
		}
		if ctx.Err() != nil || served {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-k.After(k.Poll):
		}
	}
}

// watch follows the objects until ctx ends or the kind is gone.
func (k Kind) watch(ctx context.Context, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	informer := toolscache.NewSharedIndexInformerWithOptions(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return k.Objects.List(ctx, o)
		},
		WatchFuncWithContext: k.Objects.Watch,
	}, &unstructured.Unstructured{}, toolscache.SharedIndexInformerOptions{})
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		switch {
		case apierrors.IsNotFound(err): // of a list: nobody serves this kind any more
			cancel()
		case apierrors.IsForbidden(err) && k.Forbidden != nil:
			k.Forbidden(err)
		default:
			toolscache.DefaultWatchErrorHandler(ctx, r, err)
		}
	})
	handler, err2 := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: h.Put, UpdateFunc: func(_, now any) { h.Put(now) }, DeleteFunc: h.Drop,
	})
	if k.Transform != nil {
		err = errors.Join(err, informer.SetTransform(k.Transform))
	}
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("watch objects of others: %w", err)
	}
	var running sync.WaitGroup
	running.Go(func() { informer.RunWithContext(ctx) })
	if toolscache.WaitForCacheSync(ctx.Done(), append(k.Wait, handler.HasSynced)...) {
		h.Synced(true)
	}
	running.Wait()
	h.Synced(false)
	return nil
}

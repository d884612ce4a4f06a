package multus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
)

// InjectLabel is "true" on the namespaces that ask for networks by annotation. Webhooks
// choose namespaces by label alone, so the annotation is mirrored into one.
const InjectLabel = "ibfabric.io/inject"

// NamespaceLabels keeps the InjectLabel of all namespaces, on the leader. A pod that is
// made in the moment between annotation and label goes without networks. Where
// Spiderpool's controller runs, labels stay as they are: nothing is injected then.
type NamespaceLabels struct {
	Cache      cache.Cache   // of the metadata of namespaces
	Client     client.Client // direct
	Spiderpool *Spiderpool
	Served     Namespaces
	Record     *record.Recorder
	Now        func() time.Time

	pace pace
}

// NeedLeaderElection says that only the leader writes labels.
func (n *NamespaceLabels) NeedLeaderElection() bool { return true }

// Start works until ctx ends.
func (n *NamespaceLabels) Start(ctx context.Context) error {
	w := &worker{queue: newQueue("namespaces-inject"), record: n.Record, do: n.sync}
	informer, err := n.Cache.GetInformer(ctx, NamespaceMetadata())
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	look := func(obj any) {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			w.queue.Add(types.NamespacedName{Name: m.Name})
		}
	}
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, now any) { look(now) }, DeleteFunc: look,
	})
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(handler) }() // there is none left in an informer that stopped
	defer n.Spiderpool.follow(func() { n.all(ctx, w.queue) })()
	if !toolscache.WaitForCacheSync(ctx.Done(), n.Spiderpool.Known) {
		return nil
	}
	n.all(ctx, w.queue)
	w.run(ctx, 1)
	return nil
}

// all looks at every namespace: Spiderpool came or went.
func (n *NamespaceLabels) all(ctx context.Context, q queue) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := n.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return // ctx ended
	}
	for i := range list.Items {
		q.Add(types.NamespacedName{Name: list.Items[i].Name})
	}
}

func (n *NamespaceLabels) sync(ctx context.Context, key types.NamespacedName) error {
	if !n.Spiderpool.Known() || n.Spiderpool.Controller() != "" {
		return nil
	}
	ns := NamespaceMetadata()
	err := n.Cache.Get(ctx, key, ns, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		n.pace.forget(key)
		return nil
	case err != nil:
		return fmt.Errorf("read namespace %s from the cache: %w", key.Name, err)
	}
	_, has := ns.Labels[InjectLabel]
	var want any // null takes a label away
	asks := n.Served.Serves(key.Name) && (Pod{NamespaceAnnotations: ns.Annotations, NamespaceLabels: ns.Labels}).Asks()
	if asks {
		want = "true"
	}
	if asks == has && (!has || ns.Labels[InjectLabel] == "true") {
		return nil
	}
	// Of two controllers with different --inject-namespaces each would undo the other's.
	if err := n.pace.due(key, want, n.Now()); err != nil {
		return fmt.Errorf("write label %s of namespace %s: %w", InjectLabel, key.Name, err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{InjectLabel: want}}})
	if err != nil {
		return err // not of these types
	}
	to := NamespaceMetadata()
	to.Name = key.Name
	if err := n.Client.Patch(ctx, to, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write label %s of namespace %s: %w", InjectLabel, key.Name, err)
	}
	n.pace.wrote(key, want, n.Now())
	return nil
}

// NamespaceMetadata is an empty namespace as caches are asked for it.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}

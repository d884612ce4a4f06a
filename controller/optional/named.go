package optional

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

// Lister and Watcher are the methods of a typed client.
type (
	Lister  = func(context.Context, metav1.ListOptions) (runtime.Object, error)
	Watcher = func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// Named watches the objects of one name, in all namespaces that list and follow reach, and
// asks the API server for no others: a role that names that resource is enough.
func Named(kind runtime.Object, name string, list Lister, follow Watcher) toolscache.SharedIndexInformer {
	only := func(o metav1.ListOptions) metav1.ListOptions {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		return o
	}
	return toolscache.NewSharedIndexInformerWithOptions(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, only(o)) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return follow(ctx, only(o))
		},
	}, kind, toolscache.SharedIndexInformerOptions{})
}

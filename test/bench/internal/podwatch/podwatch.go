// Package podwatch follows the pods of a namespace. It is a watch and nothing more: an
// informer's cache and lists would cost the bare loop what it is there to leave out.
package podwatch

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Watch is an open watch.
type Watch struct {
	pods    typedv1.PodInterface
	events  watch.Interface
	version string
}

// Open begins with the pods that there are.
func Open(ctx context.Context, pods typedv1.PodInterface) (*Watch, error) {
	w := &Watch{pods: pods}
	return w, w.resume(ctx)
}

func (w *Watch) resume(ctx context.Context) (err error) {
	w.events, err = w.pods.Watch(ctx, metav1.ListOptions{ResourceVersion: w.version})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	return nil
}

// Run hands every change on, in order, until the context ends. The API server closes a watch
// that it could not feed in time, as happens on a busy machine; it is resumed where it was.
func (w *Watch) Run(ctx context.Context, see func(watch.EventType, *corev1.Pod) error) error {
	defer func() { w.events.Stop() }()
	for {
		for e := range w.events.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok {
				return fmt.Errorf("watch pods: %v", e.Object)
			}
			w.version = pod.ResourceVersion
			if err := see(e.Type, pod); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.resume(ctx); err != nil {
			return err
		}
	}
}

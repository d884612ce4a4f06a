package chaos

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// follow feeds the history until ctx ends. It goes on where a watch broke off, so that
// nothing is missed as long as the API server remembers it, and lists only when not.
func (h *history) follow(ctx context.Context, kube kubernetes.Interface, ns string) {
	for ctx.Err() == nil {
		version, err := h.list(ctx, kube, ns)
		for err == nil && ctx.Err() == nil {
			version, err = h.watch(ctx, kube, ns, version)
		}
		pause(ctx, 100*milli)
	}
}

func (h *history) list(ctx context.Context, kube kubernetes.Interface, ns string) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	list, err := kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	h.chronicle.say("the watch begins anew: what came and went before, nobody saw")
	h.replace(list.Items)
	return list.ResourceVersion, nil
}

// watch returns the version to go on from; an error says that it is forgotten.
func (h *history) watch(ctx context.Context, kube kubernetes.Interface, ns, version string) (string, error) {
	w, err := kube.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	switch {
	case apierrors.IsGone(err), apierrors.IsResourceExpired(err):
		return "", err
	case err != nil:
		pause(ctx, 100*milli)
		return version, nil
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return "", apierrors.FromObject(e.Object)
		}
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		version = pod.ResourceVersion
		if e.Type != watch.Bookmark {
			h.see(pod, e.Type == watch.Deleted)
		}
	}
	return version, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

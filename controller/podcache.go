package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/budget"
)

// PodCache watches all pods and keeps of each what the controller reads. A pod as the API
// server has it takes some ten kilobytes, and an empty corev1.Pod still more than one;
// this takes a third of one, and a cluster has a hundred thousand pods.
//
// It is a runnable of every replica, so that one that stands by has what it needs at once.
type PodCache struct {
	informer toolscache.SharedIndexInformer
}

// NewPodCache makes a cache of what pods shows, in all namespaces.
func NewPodCache(pods corev1client.PodsGetter) (*PodCache, error) {
	all := pods.Pods(metav1.NamespaceAll)
	source := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return all.List(ctx, options)
		},
		WatchFuncWithContext: all.Watch,
	}
	c := &PodCache{informer: toolscache.NewSharedIndexInformerWithOptions(source, &corev1.Pod{}, toolscache.SharedIndexInformerOptions{})}
	if err := c.informer.SetTransform(stripPod); err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return c, nil
}

// Start watches until ctx ends.
func (c *PodCache) Start(ctx context.Context) error {
	c.informer.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection says that every replica watches.
func (c *PodCache) NeedLeaderElection() bool { return false }

// Synced waits until the cache has all that was there when it was started, and reports
// whether it has: false is that ctx ended first.
func (c *PodCache) Synced(ctx context.Context) bool {
	return toolscache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced)
}

// get reads a pod; nil is none.
func (c *PodCache) get(key types.NamespacedName) (*corev1.Pod, error) {
	obj, ok, err := c.informer.GetStore().GetByKey(key.String())
	if err != nil || !ok {
		return nil, err
	}
	return asPod(obj)
}

// lives reports whether a pod is there and has not finished.
func (c *PodCache) lives(key types.NamespacedName, uid types.UID) bool {
	obj, _, _ := c.informer.GetStore().GetByKey(key.String()) // by key: there is no error to have
	slim, ok := obj.(*slimPod)
	return ok && slim.UID == uid && !finished(slim.phase)
}

// each shows f every pod, until f says that it has seen enough.
func (c *PodCache) each(f func(*corev1.Pod) bool) error {
	for _, obj := range c.informer.GetStore().List() {
		pod, err := asPod(obj)
		if err != nil {
			return err
		}
		if !f(pod) {
			return nil
		}
	}
	return nil
}

// slimPod is what is kept of a pod.
type slimPod struct {
	metav1.ObjectMeta // name, UID, version; of a pod with networks its times too
	networks, status  string
	node              string
	phase             corev1.PodPhase
	hostNetwork       bool
	gates             []corev1.PodSchedulingGate
	placing           *corev1.PodSpec // of one at our gate: what says which nodes it may come to
}

// stripPod keeps of a pod what the controller reads: of one without networks, next to
// nothing. A pod whose annotation is gone may have rows all the same.
func stripPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	slim := &slimPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: unique.Make(pod.Namespace).Value(), Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		node:       unique.Make(pod.Spec.NodeName).Value(), phase: unique.Make(pod.Status.Phase).Value(),
	}
	slim.networks = pod.Annotations[attach.NetworksAnnotation]
	atGate := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return strings.HasPrefix(g.Name, gatePrefix) })
	if slim.networks == "" && !atGate { // one at our gate may have lost its annotation
		return slim, nil
	}
	slim.CreationTimestamp, slim.DeletionTimestamp = pod.CreationTimestamp, pod.DeletionTimestamp
	slim.status = pod.Annotations[attach.NetworkStatusAnnotation]
	slim.hostNetwork, slim.gates = pod.Spec.HostNetwork, pod.Spec.SchedulingGates
	if atGate {
		slim.placing = budget.Placing(&pod.Spec)
	}
	return slim, nil
}

var errNoPod = errors.New("the cache of pods holds something that is none")

// asPod is what was kept of a pod, as a pod.
func asPod(obj any) (*corev1.Pod, error) {
	slim, ok := obj.(*slimPod)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNoPod, obj)
	}
	pod := &corev1.Pod{ObjectMeta: slim.ObjectMeta}
	if slim.placing != nil {
		pod.Spec = *slim.placing
	}
	pod.Spec.NodeName, pod.Status.Phase = slim.node, slim.phase
	pod.Spec.HostNetwork, pod.Spec.SchedulingGates = slim.hostNetwork, slim.gates
	if slim.networks != "" {
		pod.Annotations = map[string]string{attach.NetworksAnnotation: slim.networks}
		if slim.status != "" {
			pod.Annotations[attach.NetworkStatusAnnotation] = slim.status
		}
	}
	return pod, nil
}

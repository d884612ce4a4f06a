package controller

import (
	"context"
	"fmt"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// CacheOptions are the cache that a controller needs: pods, NADs and nodes stripped to
// what is read, since a cluster has a hundred thousand of the first.
func CacheOptions() cache.Options {
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                        {Transform: stripPod},
			&corev1.Node{}:                       {Transform: stripNode},
			&nadv1.NetworkAttachmentDefinition{}: {Transform: cache.TransformStripManagedFields()},
		},
	}
}

// stripPod keeps of a pod what the controller reads. Pods without networks keep their
// name only.
func stripPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
	}}
	networks := pod.Annotations[attach.NetworksAnnotation]
	if networks == "" {
		return out, nil
	}
	out.CreationTimestamp, out.DeletionTimestamp = pod.CreationTimestamp, pod.DeletionTimestamp
	out.Annotations = map[string]string{attach.NetworksAnnotation: networks}
	if status := pod.Annotations[attach.NetworkStatusAnnotation]; status != "" {
		out.Annotations[attach.NetworkStatusAnnotation] = status
	}
	out.Spec.NodeName, out.Spec.HostNetwork = pod.Spec.NodeName, pod.Spec.HostNetwork
	out.Spec.SchedulingGates = pod.Spec.SchedulingGates
	out.Status.Phase = pod.Status.Phase
	return out, nil
}

// stripNode keeps of a node whether it is Ready, since when, and its boot.
func stripNode(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion}}
	out.Status.NodeInfo.BootID = node.Status.NodeInfo.BootID
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{
				Type: cond.Type, Status: cond.Status, LastTransitionTime: cond.LastTransitionTime,
			}}
		}
	}
	return out, nil
}

// Prime starts the informers, so that a replica that stands by has what it needs at once.
func (c *Controller) Prime(ctx context.Context) error {
	for _, obj := range []client.Object{&corev1.Pod{}, &corev1.Node{}, &nadv1.NetworkAttachmentDefinition{}} {
		if _, err := c.cache.GetInformer(ctx, obj); err != nil {
			return fmt.Errorf("watch %T: %w", obj, err)
		}
	}
	return nil
}

// listen feeds the pod queue from the informers, beginning with all there is.
func (c *Controller) listen(ctx context.Context) error {
	pods, err := c.cache.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	if _, err := pods.AddEventHandler(handler(c.podEvent, podMoved)); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	networks, err := c.cache.GetInformer(ctx, &nadv1.NetworkAttachmentDefinition{})
	if err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	_, err = networks.AddEventHandler(handler(c.networkEvent, networkMoved))
	if err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	return nil
}

// handler calls event for what came, went, or moved.
func handler(event func(client.Object), moved func(a, b client.Object) bool) toolscache.ResourceEventHandlerFuncs {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(client.Object); ok {
				event(o)
			}
		},
		UpdateFunc: func(from, to any) {
			a, aOK := from.(client.Object)
			b, bOK := to.(client.Object)
			if aOK && bOK && moved(a, b) {
				event(b)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj // the watch broke and missed the end: this is the last it saw
			}
			if o, ok := obj.(client.Object); ok {
				event(o)
			}
		},
	}
}

func (c *Controller) podEvent(obj client.Object) {
	key := client.ObjectKeyFromObject(obj)
	if obj.GetAnnotations()[attach.NetworksAnnotation] == "" && len(c.ledger.OfName(key)) == 0 {
		return
	}
	c.pods.Add(key)
}

// podMoved reports whether a change of a pod can matter: its status changes all the time.
func podMoved(from, to client.Object) bool {
	a, aOK := from.(*corev1.Pod)
	b, bOK := to.(*corev1.Pod)
	return !aOK || !bOK || a.UID != b.UID ||
		a.Annotations[attach.NetworksAnnotation] != b.Annotations[attach.NetworksAnnotation] ||
		a.Spec.NodeName != b.Spec.NodeName || a.Status.Phase != b.Status.Phase ||
		len(a.Spec.SchedulingGates) != len(b.Spec.SchedulingGates) ||
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil)
}

func (c *Controller) networkEvent(obj client.Object) {
	c.networkChanged(types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()})
}

func networkMoved(from, to client.Object) bool {
	return from.GetResourceVersion() != to.GetResourceVersion()
}

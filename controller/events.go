package controller

import (
	"context"
	"fmt"
	"maps"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
)

// CacheOptions are the cache that a controller needs beside that of pods: NADs, Partitions,
// and nodes and namespaces stripped to what is read.
func CacheOptions() cache.Options {
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:                       {Transform: stripNode},
			&nadv1.NetworkAttachmentDefinition{}: {Transform: cache.TransformStripManagedFields()},
			&v1alpha1.Partition{}:                {Transform: cache.TransformStripManagedFields()},
			grant.NamespaceType():                {Transform: grant.StripNamespace},
		},
	}
}

// stripNode keeps of a node whether it is Ready, since when, and its boot; and what says
// which pods may come to it.
func stripNode(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: node.Labels}}
	out.Spec.Taints, out.Spec.Unschedulable, out.Status.Allocatable = node.Spec.Taints, node.Spec.Unschedulable, node.Status.Allocatable
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
	for _, obj := range []client.Object{&corev1.Node{}, &nadv1.NetworkAttachmentDefinition{}} {
		if _, err := c.cache.GetInformer(ctx, obj); err != nil {
			return fmt.Errorf("watch %T: %w", obj, err)
		}
	}
	return nil
}

// listen feeds the pod queue from the informers, beginning with all there is.
func (c *Controller) listen(ctx context.Context) error {
	if _, err := c.podCache.informer.AddEventHandler(c.podHandler()); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	networks, err := c.cache.GetInformer(ctx, &nadv1.NetworkAttachmentDefinition{})
	if err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	if _, err := networks.AddEventHandler(c.networkHandler()); err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	nodes, err := c.cache.GetInformer(ctx, &corev1.Node{})
	if err == nil {
		_, err = nodes.AddEventHandler(c.nodeHandler())
	}
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	return nil
}

// nodeHandler wakes the pods that wait for a node with room when there is another one, or
// one takes other pods than before. Kubelets write the rest of their nodes all the time.
func (c *Controller) nodeHandler() toolscache.ResourceEventHandlerFuncs {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { c.wakeCrowded() },
		UpdateFunc: func(from, to any) {
			a, aOK := from.(*corev1.Node)
			b, bOK := to.(*corev1.Node)
			if aOK && bOK && !(a.Spec.Unschedulable == b.Spec.Unschedulable && maps.Equal(a.Labels, b.Labels) &&
				equality.Semantic.DeepEqual(a.Spec.Taints, b.Spec.Taints) && equality.Semantic.DeepEqual(a.Status.Allocatable, b.Status.Allocatable)) {
				c.wakeCrowded()
			}
		},
	}
}

func (c *Controller) podHandler() toolscache.ResourceEventHandlerFuncs {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pod, err := asPod(obj); err == nil {
				c.podEvent(pod)
			}
		},
		UpdateFunc: func(from, to any) {
			a, aErr := asPod(from)
			b, bErr := asPod(to)
			if aErr != nil || bErr != nil || !podMoved(a, b) {
				return
			}
			if a.UID != b.UID {
				c.podEnded(a, false)
			}
			c.podEvent(b)
		},
		DeleteFunc: func(obj any) {
			last, broke := obj.(toolscache.DeletedFinalStateUnknown)
			if broke {
				obj = last.Obj // the watch missed the end: this is the last it saw
			}
			if pod, err := asPod(obj); err == nil {
				c.podEnded(pod, !broke)
				c.podEvent(pod)
			}
		},
	}
}

func (c *Controller) podEvent(pod *corev1.Pod) {
	key := keyOf(pod)
	if pod.Annotations[attach.NetworksAnnotation] == "" && gateIndex(pod, c.cfg.Gate()) < 0 && len(c.ledger.OfName(key)) == 0 {
		return
	}
	c.ledger.SetNode(pod.UID, pod.Spec.NodeName)
	c.pods.Add(key)
}

// podEnded keeps where a pod ran that is gone. If its end was not seen, it may have come
// to a node meanwhile that nobody knows.
func (c *Controller) podEnded(pod *corev1.Pod, endSeen bool) {
	node := pod.Spec.NodeName
	if node == "" && !endSeen && c.patched.known(pod.UID) {
		node = ledger.UnknownNode
	}
	c.ledger.SetNode(pod.UID, node)
}

// podMoved reports whether a change of a pod can matter: its status changes all the time.
func podMoved(a, b *corev1.Pod) bool {
	return a.UID != b.UID ||
		a.Annotations[attach.NetworksAnnotation] != b.Annotations[attach.NetworksAnnotation] ||
		a.Spec.NodeName != b.Spec.NodeName || a.Status.Phase != b.Status.Phase ||
		len(a.Spec.SchedulingGates) != len(b.Spec.SchedulingGates) ||
		(len(b.Spec.SchedulingGates) > 0 && !equality.Semantic.DeepEqual(a.Spec.Tolerations, b.Spec.Tolerations)) || // the rest of what places it can only be narrowed
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil)
}

// networkHandler wakes the pods that name a network which came, went or changed. What
// is there at the beginning wakes nobody: every pod is looked at then.
func (c *Controller) networkHandler() toolscache.ResourceEventHandlerDetailedFuncs {
	wake := func(obj any) {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if nad, ok := obj.(*nadv1.NetworkAttachmentDefinition); ok {
			c.networkChanged(client.ObjectKeyFromObject(nad))
		}
	}
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			if !isInInitialList {
				wake(obj)
			}
		},
		UpdateFunc: func(from, to any) {
			a, aOK := from.(*nadv1.NetworkAttachmentDefinition)
			b, bOK := to.(*nadv1.NetworkAttachmentDefinition)
			if aOK && bOK && a.ResourceVersion != b.ResourceVersion {
				wake(b)
			}
		},
		DeleteFunc: wake,
	}
}

// networkChanged lets all pods look again whose annotation may name a network.
func (c *Controller) networkChanged(name types.NamespacedName) {
	c.networks.forget(name)
	err := c.podCache.each(func(pod *corev1.Pod) bool {
		text := pod.Annotations[attach.NetworksAnnotation]
		if strings.Contains(text, name.Name) || strings.Contains(text, `\`) { // JSON can write any letter as \u0061
			c.pods.Add(keyOf(pod))
		}
		return true
	})
	if err != nil {
		c.rec.Log(record.WorkFailed, record.Fields{Detail: "wake the pods of network " + name.String(), Err: err})
	}
}

package controller

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// want is an element of the pod's annotation that is ours, and the network it names.
type want struct {
	attach.Element
	net attach.Network
}

// wishes are what a pod asks of the fabric.
type wishes struct {
	ours     []want
	marked   []int                // elements of ours that call themselves configured by no right
	unjudged types.NamespacedName // a network of others whose word holds the pod at our gate
}

// wanted reads what the pod asks of the fabric. An error is for the pod's owner.
func (c *Controller) wanted(ctx context.Context, pod *corev1.Pod) (asks wishes, err error) {
	elements, err := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	if err != nil {
		return asks, err
	}
	var problems faults
	var strays []attach.Element
	for _, e := range elements {
		net, ours, err := c.networkFor(ctx, pod.Namespace, e.Network)
		if errors.As(err, new(*claimsError)) {
			c.barred.add(keyOf(pod), 0)
			net, ours, err = c.networkFor(ctx, pod.Namespace, e.Network) // what changed before it stood there woke nobody
		}
		if ours && e.Configured && !c.mayBeMarked(pod, e) {
			asks.marked = append(asks.marked, e.Index)
		}
		var missing *missingNetworkError
		switch {
		case e.Err != nil && errors.As(err, &missing): // what it is called may be what is wrong
			problems = append(problems, e.Err)
		case err != nil:
			problems = append(problems, err)
		case ours && e.Err != nil:
			problems = append(problems, e.Err)
		case ours:
			asks.ours = append(asks.ours, want{e, net})
		default:
			strays = append(strays, e)
		}
	}
	if gated := gateIndex(pod, c.cfg.Gate()) >= 0; gated || len(asks.ours) > 0 {
		bad, unjudged := c.judgeStrays(strays, gated)
		problems, asks.unjudged = append(problems, bad...), unjudged
	}
	return asks, problems.asError()
}

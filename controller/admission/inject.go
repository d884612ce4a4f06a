package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/multus"
)

// Configs are the SpiderMultusConfigs of the cluster. ours is false where Spiderpool's own
// controller runs: injecting beside it would double networks.
type Configs interface {
	Candidates() (all []multus.Candidate, ours bool, err error)
}

// Injector gives a pod that asks for a group of networks, or whose namespace does, all of
// them and the resources that they take.
type Injector struct {
	Configs    Configs
	Namespaces client.Reader // the cache of their metadata
	Served     multus.Namespaces
}

// Inject is the step before the gate.
func (i *Injector) Inject(ctx context.Context, namespace string, pod *corev1.Pod) (Change, error) {
	who := multus.Pod{Namespace: namespace, Annotations: pod.Annotations}
	// Into the host's network Multus puts nothing, and a static pod runs already: VFs would
	// be taken, and a pod that serves a whole namespace, such as an exporter, wait for them.
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror || pod.Spec.HostNetwork {
		return hostsPod(who), nil
	}
	if !who.Says() {
		if err := i.askNamespace(ctx, &who); err != nil {
			return Change{}, err
		}
	}
	if !who.Asks() {
		return Change{}, nil
	}
	all, ours, err := i.Configs.Candidates()
	if err != nil || !ours {
		return Change{}, err
	}
	given, err := multus.Inject(who, i.Served, all)
	if err != nil {
		return Change{}, err
	}
	var c Change
	if given.Networks != "" {
		c.Annotations = map[string]string{attach.NetworksAnnotation: given.Networks}
	}
	c.InfiniBand = given.InfiniBand
	if given.Warning != "" {
		c.Warnings = []string{given.Warning}
	}
	c.Resources, err = resources(pod.Spec.Containers, given.Resources)
	return c, err
}

// hostsPod tells one that asks itself that it gets nothing.
func hostsPod(who multus.Pod) (c Change) {
	if who.Asks() {
		c.Warnings = []string{"a pod of the host's network is given no networks: leave hostNetwork out, or the annotation that asks for them"}
	}
	return c
}

// askNamespace reads what the namespace says. One that the cache has not got yet was made
// a moment ago and says nothing: the pods of every namespace come by here.
func (i *Injector) askNamespace(ctx context.Context, who *multus.Pod) error {
	ns := multus.NamespaceMetadata()
	err := i.Namespaces.Get(ctx, types.NamespacedName{Name: who.Namespace}, ns, client.UnsafeDisableDeepCopy) // read only
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read namespace %s from the cache: %w", who.Namespace, err)
	}
	if !apierrors.IsNotFound(err) {
		who.NamespaceAnnotations, who.NamespaceLabels = ns.Annotations, ns.Labels
	}
	return nil
}

// resources raises what containers ask for until it is enough for the pod's networks, and
// lowers nothing. Multus looks at the pod as a whole, so what several containers have
// counts together; what is missing goes to the first that asks for that resource, or else
// to the first of all.
func resources(containers []corev1.Container, want []multus.Resource) (map[int]corev1.ResourceList, error) {
	gets := map[int]corev1.ResourceList{}
	for _, r := range want {
		if len(containers) == 0 {
			return nil, fmt.Errorf("give the pod %s: it has no container", r.Name)
		}
		name, have, at := corev1.ResourceName(r.Name), int64(0), -1
		for i := range containers {
			n := asked(&containers[i], name)
			if n > 0 && at < 0 {
				at = i
			}
			have += min(n, r.Count) // anybody can write any number
		}
		if have >= r.Count {
			continue
		}
		at = max(at, 0)
		if gets[at] == nil {
			gets[at] = corev1.ResourceList{}
		}
		gets[at][name] = *resource.NewQuantity(asked(&containers[at], name)+r.Count-have, resource.DecimalSI)
	}
	return gets, nil
}

// asked is how many of a resource a container asks for, by limit or by request: a pod that
// comes to its webhooks has not been defaulted yet.
func asked(c *corev1.Container, name corev1.ResourceName) int64 {
	limit, request := c.Resources.Limits[name], c.Resources.Requests[name]
	return max(limit.Value(), request.Value(), 0)
}

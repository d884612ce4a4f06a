package admission

import (
	"context"
	"fmt"
	"maps"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// Pods puts the scheduling gate of a fabric on pods with InfiniBand networks of it.
type Pods struct {
	Gate     string          // "": no pod is gated
	Selector labels.Selector // which NADs are this fabric's, by their labels
	Networks client.Reader   // the cache of NADs
	Inject   Inject          // nil: pods get the networks that they name
}

// Inject is a step before the gate, in the same answer: it may give a pod networks, and
// the resources that they take. It must not change the pod itself, nor do anything else:
// requests may be dry runs, and come twice. An error refuses the pod, in its words.
type Inject func(ctx context.Context, namespace string, pod *corev1.Pod) (Change, error)

// Change is what a pod is given beside the gate.
type Change struct {
	Annotations map[string]string // set to these values
	// Resources are extended resources by the place of the container that gets them. A
	// quantity becomes its limit and its request, which the API server wants equal.
	Resources map[int]corev1.ResourceList
	Warnings  []string // for whoever makes the pod
}

// Handle answers for one pod that is made. For the gate's sake no pod is ever refused: one
// that comes ungated is served the ungated way.
func (p *Pods) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create || req.SubResource != "" {
		return admission.Allowed("")
	}
	var pod corev1.Pod
	if err := json.Unmarshal(req.Object.Raw, &pod); err != nil {
		ungated(ctx, fmt.Errorf("read the pod: %w", err))
		return admission.Allowed("")
	}
	var change Change
	if p.Inject != nil {
		var err error
		if change, err = p.Inject(ctx, req.Namespace, &pod); err != nil {
			return admission.Denied(err.Error())
		}
	}
	patch := newPatch(&pod)
	patch.change(change)
	networks := pod.Annotations[attach.NetworksAnnotation]
	if text, ok := change.Annotations[attach.NetworksAnnotation]; ok {
		networks = text
	}
	gated, err := p.needsGate(ctx, req.Namespace, &pod, networks)
	if err != nil {
		ungated(ctx, err)
	}
	if gated {
		patch.gate(p.Gate)
	}
	return admission.Patched("", patch.ops...).WithWarnings(change.Warnings...)
}

func ungated(ctx context.Context, err error) {
	logf.FromContext(ctx).Error(err, "a pod goes on without the scheduling gate")
}

// needsGate reports whether a pod waits for its fabric at the gate. What was given its
// node already is past the scheduler, and a host's pod has no VF.
func (p *Pods) needsGate(ctx context.Context, namespace string, pod *corev1.Pod, networks string) (bool, error) {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	if p.Gate == "" || networks == "" || pod.Spec.NodeName != "" || pod.Spec.HostNetwork || mirror {
		return false, nil
	}
	elements, err := attach.ParseAnnotation(namespace, networks)
	if err != nil {
		return false, nil // no reader finds a network in there, and the controller tells the pod
	}
	for _, e := range elements {
		if ours, err := p.ours(ctx, e.Network); ours || err != nil {
			return ours, err
		}
	}
	return false, nil
}

// ours reports whether a network is InfiniBand and of this fabric. One that does not exist
// yet may become anybody's. One that says something refused is ours as soon as it is seen
// to be InfiniBand: its pods wait until it is mended.
func (p *Pods) ours(ctx context.Context, name types.NamespacedName) (bool, error) {
	if name.Name == "" {
		return false, nil // an element that names nothing
	}
	var nad nadv1.NetworkAttachmentDefinition
	err := p.Networks.Get(ctx, name, &nad, client.UnsafeDisableDeepCopy) // read only
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read network %s from the cache: %w", name, err)
	case !p.Selector.Matches(labels.Set(nad.Labels)):
		return false, nil
	}
	net, _ := attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	return net.InfiniBand, nil
}

// resourceTexts are quantities as JSON has them.
func resourceTexts(list corev1.ResourceList) map[string]string {
	texts := make(map[string]string, len(list))
	for name, quantity := range maps.All(list) {
		texts[string(name)] = quantity.String()
	}
	return texts
}

package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	"github.com/ibfabric/ibfabric/controller/preflight"
)

// Pods puts the scheduling gate of a fabric on pods with InfiniBand networks of it.
type Pods struct {
	Gate     string          // "": no pod is gated
	Selector labels.Selector // which NADs are this fabric's, by their labels
	Networks client.Reader   // the cache of NADs
	Inject   Inject          // nil: pods get the networks that they name
	Pools    Pools
	// Away reports that nobody would lift the gate, since ib-kubernetes works here: pods then
	// come without it. nil: somebody does.
	Away func() bool
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
	// InfiniBand are the labels of InfiniBand networks that the pod is on, which may not have
	// been made yet.
	InfiniBand []map[string]string
	Warnings   []string // for whoever makes the pod
}

// Handle answers for one pod that is made. No pod is refused because the gate cannot be
// put: one that comes ungated is served the ungated way. Refused is one at our gate that says
// of a network that is not ours what only a controller may say: this controller would lift
// the gate without looking at that.
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
	gated, err := p.needsGate(ctx, req.Namespace, &pod, networks, change.InfiniBand)
	if err != nil {
		ungated(ctx, err)
	}
	if gated || p.hasGate(&pod) {
		if err := p.checkStrangers(ctx, req.Namespace, networks); err != nil {
			return admission.Denied(err.Error())
		}
		if plain := unmarked(req.Namespace, networks); plain != networks {
			patch.set("/metadata/annotations", pod.Annotations, map[string]string{attach.NetworksAnnotation: plain})
			change.Warnings = append(change.Warnings, wordTaken)
		}
	}
	if gated {
		patch.gate(p.Gate)
	}
	warnings := append(change.Warnings, poolWarning(p.Pools, preflight.PoolsOfPod(pod.Annotations))...)
	return admission.Patched("", patch.ops...).WithWarnings(warnings...)
}

func ungated(ctx context.Context, err error) {
	logf.FromContext(ctx).Error(err, "a pod goes on without the scheduling gate")
}

// needsGate reports whether a pod waits for its fabric at the gate. What was given its
// node already is past the scheduler, and a host's pod has no VF.
func (p *Pods) needsGate(ctx context.Context, namespace string, pod *corev1.Pod, networks string, known []map[string]string) (bool, error) {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	if p.Gate == "" || networks == "" || p.Away != nil && p.Away() || pod.Spec.NodeName != "" || pod.Spec.HostNetwork || mirror {
		return false, nil
	}
	if slices.ContainsFunc(known, func(l map[string]string) bool { return p.Selector.Matches(labels.Set(l)) }) {
		return true, nil
	}
	elements, err := attach.ParseAnnotation(namespace, networks)
	if err != nil {
		return false, nil // no reader finds a network in there, and the controller tells the pod
	}
	look := p.once()
	for _, e := range elements {
		if whose, err := look(ctx, e.Network); whose == mine || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// hasGate reports whether a pod came with our gate. Anybody can write it.
func (p *Pods) hasGate(pod *corev1.Pod) bool {
	return p.Gate != "" && slices.Contains(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: p.Gate})
}

const wordTaken = `the pod says itself that it is configured, which is taken back: leave "mellanox.infiniband.app" out, the controller alone writes it, when UFM holds the pod's GUIDs`

// unmarked is a networks annotation in which no element calls itself configured. At our gate
// that word then is a controller's, whatever becomes of its network.
func unmarked(namespace, networks string) string {
	elements, err := attach.ParseAnnotation(namespace, networks)
	if err != nil {
		return networks // no reader finds a word in there
	}
	var marked []int
	for _, e := range elements {
		if e.Configured {
			marked = append(marked, e.Index)
		}
	}
	plain, err := attach.Unmark(namespace, networks, marked)
	if err != nil {
		return networks
	}
	return plain
}

// checkStrangers refuses a GUID, and the word "configured", for a network that is not this
// fabric's. One that is missing may become any by the time that the CNI reads it. Of another
// fabric's a GUID may be named: the controller keeps its gate until that fabric's has judged it.
func (p *Pods) checkStrangers(ctx context.Context, namespace, networks string) error {
	if !strings.ContainsAny(networks, `[{"`) {
		return nil // a comma list says nothing but names
	}
	elements, err := attach.ParseAnnotation(namespace, networks)
	if err != nil {
		return fmt.Errorf("a pod at the scheduling gate %s: %w", p.Gate, err)
	}
	look := p.once()
	for _, e := range elements {
		if e.GUID == 0 && !e.Configured && len(e.Recorded) == 0 && e.Err == nil {
			continue
		}
		whose, err := look(ctx, e.Network)
		switch {
		case err != nil:
			return err
		case whose == mine:
		case e.Err != nil:
			return e.Err
		case whose == anothers && !e.Configured && len(e.Recorded) == 0:
		case whose == anothers:
			return fmt.Errorf("networks annotation, element %d: network %s is another fabric's, whose controller alone writes pkey and mellanox.infiniband.app there; leave them out", e.Index+1, e.Network)
		default:
			return fmt.Errorf("networks annotation, element %d: network %s is not there, or is not InfiniBand, so that nobody would judge what is said of it; leave guid, infiniband-guid, pkey and mellanox.infiniband.app out", e.Index+1, e.Network)
		}
	}
	return nil
}

// whose says to which fabric a network belongs.
type whose uint8

const (
	nobodys  whose = iota // it is not InfiniBand, or not there
	mine                  // of this fabric
	anothers              // InfiniBand of another one, or of none
)

// once is whose, asked once for each name: a pod can name a network ten thousand times, and a
// network be a mebibyte to read.
func (p *Pods) once() func(context.Context, types.NamespacedName) (whose, error) {
	known := map[types.NamespacedName]whose{}
	return func(ctx context.Context, name types.NamespacedName) (w whose, err error) {
		w, ok := known[name]
		if !ok {
			if w, err = p.whose(ctx, name); err == nil {
				known[name] = w
			}
		}
		return w, err
	}
}

// whose reads a network. One that does not exist yet may become anybody's. One that says
// something refused is InfiniBand as soon as it is seen to be: its pods wait until it is
// mended.
func (p *Pods) whose(ctx context.Context, name types.NamespacedName) (whose, error) {
	if name.Name == "" {
		return nobodys, nil // an element that names nothing
	}
	var nad nadv1.NetworkAttachmentDefinition
	err := p.Networks.Get(ctx, name, &nad, client.UnsafeDisableDeepCopy) // read only
	switch {
	case apierrors.IsNotFound(err):
		return nobodys, nil
	case err != nil:
		return nobodys, fmt.Errorf("read network %s from the cache: %w", name, err)
	}
	net, _ := attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	switch {
	case !net.InfiniBand:
		return nobodys, nil
	case p.Selector.Matches(labels.Set(nad.Labels)):
		return mine, nil
	}
	return anothers, nil
}

// resourceTexts are quantities as JSON has them.
func resourceTexts(list corev1.ResourceList) map[string]string {
	texts := make(map[string]string, len(list))
	for name, quantity := range maps.All(list) {
		texts[string(name)] = quantity.String()
	}
	return texts
}

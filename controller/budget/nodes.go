package budget

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// MayRunOn reports whether the scheduler could ever choose a node for a pod: its labels
// fit, its taints are tolerated, and it has what the pod asks of resources that only some
// nodes have (VFs, GPUs), used by others or not. A pod whose every such node is full
// waits; a node without a card has room for PKeys and is no help.
func MayRunOn(pod *corev1.Pod, node *corev1.Node) bool {
	fits, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node)
	if err != nil || !fits || node.Spec.Unschedulable {
		return false
	}
	bars := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	if _, barred := schedulinghelpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, pod.Spec.Tolerations, bars, false); barred {
		return false
	}
	for name, asked := range special(pod) {
		if has := node.Status.Allocatable[name]; has.Cmp(asked) < 0 {
			return false
		}
	}
	return true
}

// Placing is what MayRunOn reads of a pod, and nothing else of it.
func Placing(spec *corev1.PodSpec) *corev1.PodSpec {
	out := &corev1.PodSpec{Affinity: spec.Affinity, NodeSelector: spec.NodeSelector, Tolerations: spec.Tolerations}
	for i := range spec.Containers {
		if asked := spec.Containers[i].Resources.Requests; len(asked) > 0 {
			out.Containers = append(out.Containers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: asked}})
		}
	}
	return out
}

// special is what a pod asks of each resource that is not every node's.
func special(pod *corev1.Pod) corev1.ResourceList {
	common := sets.New(corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage)
	sum := corev1.ResourceList{}
	for i := range pod.Spec.Containers {
		for name, asked := range pod.Spec.Containers[i].Resources.Requests {
			if !common.Has(name) {
				total := sum[name]
				total.Add(asked)
				sum[name] = total
			}
		}
	}
	return sum
}

// Avoid is a pod's affinity with nodes kept from it besides. It goes into every term of
// the required node affinity, of which one must fit; a term without a requirement fits
// nothing, and stays so.
func Avoid(a *corev1.Affinity, nodes []*corev1.Node) *corev1.Affinity {
	out := a.DeepCopy()
	if out == nil {
		out = &corev1.Affinity{}
	}
	if out.NodeAffinity == nil {
		out.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := out.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	expressions, fields := exclusions(nodes)
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		out.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: expressions, MatchFields: fields}},
		}
		return out
	}
	for i := range required.NodeSelectorTerms {
		if t := &required.NodeSelectorTerms[i]; len(t.MatchExpressions)+len(t.MatchFields) > 0 {
			t.MatchExpressions = append(t.MatchExpressions, expressions...)
			t.MatchFields = append(t.MatchFields, fields...)
		}
	}
	return out
}

// exclusions name nodes by their host name, all in one requirement; a node without that
// label by its name, which takes a requirement each.
func exclusions(nodes []*corev1.Node) (expressions, fields []corev1.NodeSelectorRequirement) {
	var hosts []string
	for _, n := range nodes {
		if host := n.Labels[corev1.LabelHostname]; host != "" {
			hosts = append(hosts, host)
			continue
		}
		fields = append(fields, corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{n.Name}})
	}
	if len(hosts) > 0 {
		expressions = []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: hosts}}
	}
	return expressions, fields
}

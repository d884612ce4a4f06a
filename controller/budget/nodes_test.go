package budget

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name string, edit ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: "host-" + name}}}
	for _, e := range edit {
		e(n)
	}
	return n
}

func terms(a *corev1.Affinity) []corev1.NodeSelectorTerm {
	return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

func TestNodesAreKeptFromEveryTerm(t *testing.T) {
	zone := corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"z"}}
	away := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"host-a", "host-b"}}
	byName := corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"c"}}
	full := []*corev1.Node{node("a"), node("b"), node("c", func(n *corev1.Node) { n.Labels = nil })}

	if diff := cmp.Diff([]corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{away}, MatchFields: []corev1.NodeSelectorRequirement{byName}}}, terms(Avoid(nil, full))); diff != "" {
		t.Errorf("without an affinity (-want +got):\n%s", diff)
	}
	given := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{zone}}, {}},
	}}}
	want := []corev1.NodeSelectorTerm{
		{MatchExpressions: []corev1.NodeSelectorRequirement{zone, away}, MatchFields: []corev1.NodeSelectorRequirement{byName}},
		{}, // fits no node, and would fit nearly all with a requirement
	}
	if diff := cmp.Diff(want, terms(Avoid(given, full))); diff != "" {
		t.Errorf("with two terms (-want +got):\n%s", diff)
	}
	if len(terms(given)[0].MatchExpressions) != 1 {
		t.Error("what it was given was changed")
	}
}

func TestANodeThatAPodCannotUseIsNoHelp(t *testing.T) {
	vfs := func(n int64) corev1.ResourceList {
		return corev1.ResourceList{"nvidia.com/ib_vfs": *resource.NewQuantity(n, resource.DecimalSI), corev1.ResourceCPU: resource.MustParse("1")}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"pool": "gpu"},
		Containers: []corev1.Container{
			{Resources: corev1.ResourceRequirements{Requests: vfs(1)}},
			{Resources: corev1.ResourceRequirements{Requests: vfs(1)}},
		},
	}}
	fit := func(n *corev1.Node) {
		n.Labels["pool"] = "gpu"
		n.Status.Allocatable = vfs(2)
	}
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"as it should be":         {func(*corev1.Node) {}, true},
		"another pool":            {func(n *corev1.Node) { n.Labels["pool"] = "cpu" }, false},
		"too few VFs":             {func(n *corev1.Node) { n.Status.Allocatable = vfs(1) }, false},
		"no CPU left to speak of": {func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("0") }, true},
		"cordoned":                {func(n *corev1.Node) { n.Spec.Unschedulable = true }, false},
		"tainted": {func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "control-plane", Effect: corev1.TaintEffectNoSchedule}}
		}, false},
		"not preferred": {func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "old", Effect: corev1.TaintEffectPreferNoSchedule}}
		}, true},
	} {
		if got := MayRunOn(pod, node(name, fit, c.change)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

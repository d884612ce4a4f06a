package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
)

// patch collects JSON patch operations (RFC 6902) on a pod. They are made one by one, and
// not from the difference of two pods: a field that this program's API version does not
// know would be among the differences, and get lost.
type patch struct {
	pod *corev1.Pod // as it came
	ops []jsonpatch.JsonPatchOperation
}

func newPatch(pod *corev1.Pod) *patch { return &patch{pod: pod} }

func (p *patch) add(path string, value any) {
	p.ops = append(p.ops, jsonpatch.NewOperation("add", path, value))
}

// set puts entries into a map of the pod. One that is empty may be missing altogether, and
// then has no place to add to.
func (p *patch) set(path string, have map[string]string, entries map[string]string) {
	entries = maps.Clone(entries)
	maps.DeleteFunc(entries, func(key, value string) bool { old, ok := have[key]; return ok && old == value })
	switch {
	case len(entries) == 0:
	case len(have) == 0:
		p.add(path, entries)
	default:
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			p.add(path+"/"+escape(key), entries[key])
		}
	}
}

// escape makes a key a part of a JSON pointer (RFC 6901).
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

// gate adds a scheduling gate behind those of others, and the label. Done before, it does
// nothing: the API server asks again when another webhook changed the pod.
func (p *patch) gate(name string) {
	p.set("/metadata/labels", p.pod.Labels, map[string]string{ManagedLabel: "true"})
	gate := corev1.PodSchedulingGate{Name: name}
	switch gates := p.pod.Spec.SchedulingGates; {
	case slices.Contains(gates, gate):
	case len(gates) == 0:
		p.add("/spec/schedulingGates", []corev1.PodSchedulingGate{gate})
	default:
		p.add("/spec/schedulingGates/-", gate)
	}
}

// change applies what the step before the gate wants.
func (p *patch) change(c Change) {
	p.set("/metadata/annotations", p.pod.Annotations, c.Annotations)
	for _, at := range slices.Sorted(maps.Keys(c.Resources)) {
		if at < 0 || at >= len(p.pod.Spec.Containers) {
			continue
		}
		has, gets := p.pod.Spec.Containers[at].Resources, resourceTexts(c.Resources[at])
		path := fmt.Sprintf("/spec/containers/%d/resources", at)
		if len(has.Limits) == 0 && len(has.Requests) == 0 && len(has.Claims) == 0 {
			p.add(path, map[string]any{"limits": gets, "requests": gets})
			continue
		}
		p.set(path+"/limits", resourceTexts(has.Limits), gets)
		p.set(path+"/requests", resourceTexts(has.Requests), gets)
	}
}

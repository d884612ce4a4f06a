package preflight

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const policyKind = "SriovNetworkNodePolicy"

func policyGVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "sriovnetwork.openshift.io", Version: "v1", Resource: "sriovnetworknodepolicies"}
}

// Policy is what a SriovNetworkNodePolicy has sriov-network-operator do.
type Policy struct {
	Name         types.NamespacedName
	UID          types.UID
	Created      time.Time
	NodeSelector map[string]string
	RootDevices  []string // PCI addresses of cards
	PFs          []VFs
}

// VFs are some of a card's, counted from 0.
type VFs struct {
	PF          string // the interface of the card
	First, Last int
}

// ReadPolicy reads a SriovNetworkNodePolicy. What is not as its schema has it is left out.
func ReadPolicy(u *unstructured.Unstructured) Policy {
	p := Policy{Name: types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()}, UID: u.GetUID(), Created: u.GetCreationTimestamp().Time}
	p.NodeSelector, _, _ = unstructured.NestedStringMap(u.Object, "spec", "nodeSelector")
	p.RootDevices, _, _ = unstructured.NestedStringSlice(u.Object, "spec", "nicSelector", "rootDevices")
	names, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "nicSelector", "pfNames")
	n, _, _ := unstructured.NestedInt64(u.Object, "spec", "numVfs")
	for _, name := range names {
		if vfs, ok := readVFs(name, int(n)); ok {
			p.PFs = append(p.PFs, vfs)
		}
	}
	return p
}

// readVFs reads ens1f0, which is all VFs of it, or ens1f0#0-3.
func readVFs(text string, number int) (VFs, bool) {
	pf, some, isSome := strings.Cut(text, "#")
	if !isSome {
		return VFs{pf, 0, max(number-1, 0)}, true
	}
	from, to, ok := strings.Cut(some, "-")
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	return VFs{pf, first, last}, ok && err1 == nil && err2 == nil
}

// shares names what two policies both take, "" for nothing. A card that the one names by
// its interface and the other by its address is not seen: only the node knows.
func (p Policy) shares(other Policy) string {
	for _, a := range p.RootDevices {
		for _, b := range other.RootDevices {
			if strings.EqualFold(a, b) {
				return "root device " + a
			}
		}
	}
	for _, a := range p.PFs {
		for _, b := range other.PFs {
			if a.PF == b.PF && a.First <= b.Last && b.First <= a.Last {
				return fmt.Sprintf("VFs %d to %d of %s", max(a.First, b.First), min(a.Last, b.Last), a.PF)
			}
		}
	}
	return ""
}

// meet reports whether there is a node that both policies select. Without nodes to ask, one
// could be unless the selectors contradict each other.
func meet(a, b Policy, nodes []map[string]string) bool {
	if len(nodes) == 0 {
		for key, value := range a.NodeSelector {
			if other, ok := b.NodeSelector[key]; ok && other != value {
				return false
			}
		}
		return true
	}
	for _, labels := range nodes {
		if a.selects(labels) && b.selects(labels) {
			return true
		}
	}
	return false
}

func (p Policy) selects(labels map[string]string) bool {
	for key, value := range p.NodeSelector {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

func (p Policy) reference() corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: policyGVR().GroupVersion().String(), Kind: policyKind, Namespace: p.Name.Namespace, Name: p.Name.Name, UID: p.UID}
}

func byAge(a, b Policy) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name.String(), b.Name.String()))
}

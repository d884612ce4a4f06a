package controller

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// otherGates is why a pod waits in silence: who put the gate there tells its story.
const otherGates = "another scheduling gate stands"

// leaveAlone says why a pod on an InfiniBand network gets nothing from us, or nothing yet.
func leaveAlone(pod *corev1.Pod, gate string) string {
	switch {
	case pod.Spec.HostNetwork:
		return "it uses the host's network, which has no VF to give a GUID to; remove the network or hostNetwork"
	case hasOtherGate(pod, gate):
		return otherGates
	case pod.Status.Phase == corev1.PodRunning && !hasGUIDs(pod):
		return "it was running before it had a GUID; delete it to have it made anew on the fabric"
	}
	return ""
}

func hasOtherGate(pod *corev1.Pod, ours string) bool {
	for _, g := range pod.Spec.SchedulingGates {
		// Another fabric's controller has a gate of its own, and waits for nobody.
		if g.Name != ours && !strings.HasPrefix(g.Name, gatePrefix) {
			return true
		}
	}
	return false
}

// hasGUIDs reports whether a pod that runs says of an element that it is configured, or
// its status shows a GUID: KubeVirt takes the marks away.
func hasGUIDs(pod *corev1.Pod) bool {
	elements, _ := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	for _, e := range elements {
		if e.Configured && e.GUID != 0 {
			return true
		}
	}
	return len(attach.StatusGUIDs(pod.Annotations[attach.NetworkStatusAnnotation])) > 0
}

// isFinished reports whether a pod's containers ended for good. A deletionTimestamp
// says nothing of the kind: its grace period may be long, and needs its fabric.
func isFinished(pod *corev1.Pod) bool {
	return finished(pod.Status.Phase)
}

func finished(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }

func keyOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// getPod reads a pod from the cache; nil is none.
func (c *Controller) getPod(key types.NamespacedName) (*corev1.Pod, error) {
	pod, err := c.podCache.get(key)
	if err != nil {
		return nil, fmt.Errorf("read pod %s from the cache: %w", key, err)
	}
	return pod, nil
}

// podFields describe a pod and rows of it.
func podFields(pod *corev1.Pod, rows []ledger.Row) record.Fields {
	f := rowFields(rows)
	f.Pod, f.UID, f.Node = keyOf(pod), pod.UID, pod.Spec.NodeName
	return f
}

// rowFields describe rows of one pod.
func rowFields(rows []ledger.Row) record.Fields {
	var f record.Fields
	seen := map[pkey.PKey]bool{}
	for _, r := range rows {
		f.Pod, f.UID = r.Pod, r.UID
		f.Interfaces = append(f.Interfaces, r.Interface)
		f.GUIDs = append(f.GUIDs, r.GUID)
		for _, claim := range r.Claims {
			if !seen[claim.PKey] {
				seen[claim.PKey] = true
				f.PKeys = append(f.PKeys, claim.PKey)
			}
		}
	}
	return f
}

// noteChangedNetwork tells a live pod, once, that its network says something else now.
func (c *Controller) noteChangedNetwork(r ledger.Row, net attach.Network) {
	if sameClaims(r.Claims, net.Claims) || r.State != ledger.Assigned {
		return
	}
	detail := fmt.Sprintf("network %s now says %s; interface %s keeps %s until the pod is made anew", net.Name, describe(net.Claims), r.Interface, describe(r.Claims))
	c.tellRow(r, record.PodKeeps, record.Fields{GUIDs: []guid.GUID{r.GUID}, Detail: detail})
}

func sameClaims(a, b []attach.Claim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].PKey != b[i].PKey || a[i].Mode != b[i].Mode {
			return false
		}
	}
	return true
}

func describe(claims []attach.Claim) string {
	if len(claims) == 0 {
		return "no pkey"
	}
	return "pkey " + attach.FormatClaims(claims)
}

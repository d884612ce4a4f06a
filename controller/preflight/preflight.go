// Package preflight looks at what other operators are told and pods on the fabric depend
// on, and finds what cannot work before a pod hangs on it: networks that take addresses
// from a pool of Spiderpool's that is not there, and policies of sriov-network-operator
// that cut up one card twice.
//
// Its heart is pure: [Check] says what is wrong in a cluster. Around it, [Others] follows the
// objects of others on every replica, whose kinds may come and go, and [Teller] tells on
// the leader, once, by an Event on the object that must be mended.
//
// They need, in a ClusterRole, beside what the controller reads anyway:
//
//	spiderpool.spidernet.io     spiderippools               list, watch
//	sriovnetwork.openshift.io   sriovnetworknodepolicies    list, watch
//	events.k8s.io               events                      create, patch
package preflight

import (
	"fmt"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is what is looked at.
type Cluster struct {
	Networks []nadv1.NetworkAttachmentDefinition
	Pools    Pools // of Spiderpool
	Policies []Policy
	Nodes    []map[string]string // the labels of each; none: they are not known
}

// Finding is something that cannot work.
type Finding struct {
	About  corev1.ObjectReference // what is to be mended
	Detail string                 // what is wrong, and the mend
}

// Check says what cannot work. Equal clusters give equal lists.
func Check(c Cluster) []Finding {
	return append(checkPools(c), checkPolicies(c)...)
}

// checkPools finds the networks that name pools which do not exist: the pod is told so by
// its CNI alone, when its VFs are taken and its node is chosen.
func checkPools(c Cluster) (all []Finding) {
	for i := range c.Networks {
		nad := &c.Networks[i]
		missing := c.Pools.Missing(PoolsOf(nad.Spec.Config))
		if len(missing) == 0 {
			continue
		}
		all = append(all, Finding{authorOf(nad), fmt.Sprintf("network %s/%s: %s", nad.Namespace, nad.Name, c.Pools.Advise(missing))})
	}
	return all
}

// authorOf is what a network is made of, where its author looks, or else itself.
func authorOf(nad *nadv1.NetworkAttachmentDefinition) corev1.ObjectReference {
	if owner := metav1.GetControllerOf(nad); owner != nil {
		return corev1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: nad.Namespace, Name: owner.Name, UID: owner.UID}
	}
	return corev1.ObjectReference{APIVersion: nadv1.SchemeGroupVersion.String(), Kind: "NetworkAttachmentDefinition", Namespace: nad.Namespace, Name: nad.Name, UID: nad.UID}
}

// checkPolicies finds cards that two policies take on one node: the device plugin offers the
// VFs by one of the two names, and pods wait for the other.
func checkPolicies(c Cluster) (all []Finding) {
	sorted := slices.SortedFunc(slices.Values(c.Policies), byAge)
	for i, older := range sorted {
		for _, younger := range sorted[i+1:] {
			shared := older.shares(younger)
			if shared == "" || !meet(older, younger, c.Nodes) {
				continue
			}
			const mend = "name each card in one policy alone (spec.nicSelector), or let the two select different nodes (spec.nodeSelector)"
			all = append(all,
				Finding{younger.reference(), fmt.Sprintf("it takes %s, which the older %s %s takes on the same nodes: %s", shared, policyKind, older.Name, mend)},
				Finding{older.reference(), fmt.Sprintf("the younger %s %s takes %s as well: %s", policyKind, younger.Name, shared, mend)})
		}
	}
	return all
}

// few shows the beginning of a list.
func few(list []string) string {
	const most = 8
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

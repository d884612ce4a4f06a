package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PartitionClaim asks for a PKey of its own for as long as the claim is there, and for
// networks that carry it: one workload's partition. Only the claim's namespace may use it.
type PartitionClaim struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PartitionClaimSpec   `json:"spec"`
	Status PartitionClaimStatus `json:"status,omitempty"`
}

// What ties a claim and its Partition together.
const (
	// FinalizerClaim keeps a claim until its Partition is gone, and that Partition until the
	// networks are gone that were made with its PKey.
	FinalizerClaim = "ibfabric.io/claim"
	// LabelClaim and LabelClaimNamespace say on a Partition whose claim it stands for.
	LabelClaim          = "ibfabric.io/claim"
	LabelClaimNamespace = "ibfabric.io/claim-namespace"
)

// PartitionClaimSpec is what a claim asks for. It stays as it was made.
type PartitionClaimSpec struct {
	// Networks names the NADs to copy with the claim's PKey, one a rail.
	Networks []ClaimNetwork `json:"networks,omitempty"`
}

// ClaimNetwork is a NAD to copy.
type ClaimNetwork struct {
	// From is the NAD that is copied: "name" in the claim's namespace, or "namespace/name".
	From string `json:"from"`
	// Name of the copy, in the claim's namespace; absent: the claim's name, a dash, and
	// the name of the NAD that is copied.
	Name string `json:"name,omitempty"`
}

// PartitionClaimStatus is what became of a claim.
type PartitionClaimStatus struct {
	PKey      string `json:"pkey,omitempty"`
	Partition string `json:"partition,omitempty"` // the Partition that stands for it
	// Networks are the NADs that pods can name.
	Networks           []string           `json:"networks,omitempty"`
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// PartitionClaimList is a list of PartitionClaims.
type PartitionClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PartitionClaim `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (c *PartitionClaim) DeepCopyObject() runtime.Object { return c.DeepCopy() }

// DeepCopy is a PartitionClaim that shares nothing with c.
func (c *PartitionClaim) DeepCopy() *PartitionClaim {
	out := *c
	out.ObjectMeta = *c.ObjectMeta.DeepCopy()
	out.Spec.Networks = append([]ClaimNetwork(nil), c.Spec.Networks...)
	out.Status.Networks = append([]string(nil), c.Status.Networks...)
	out.Status.Conditions = copyConditions(c.Status.Conditions)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *PartitionClaimList) DeepCopyObject() runtime.Object {
	out := PartitionClaimList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopy())
	}
	return &out
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Partition is a PKey of the fabric: who may use it, and how its members join. A PKey
// with a Partition may be used only by the namespaces that it grants.
type Partition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PartitionSpec   `json:"spec"`
	Status PartitionStatus `json:"status,omitempty"`
}

// PartitionSpec is what a Partition is to be.
type PartitionSpec struct {
	// PKey as in 0x1000. Without it the controller chooses one from its range. It can be
	// neither set nor changed later: UFM and the ledger have members under the old one.
	PKey string `json:"pkey,omitempty"`
	// Membership of those that join by a NAD: full or limited. This and the next two count
	// before what the NAD says, which counts where they are absent.
	Membership string `json:"membership,omitempty"`
	// Index0 puts the PKey first in the tables of those whose first partition it is.
	Index0 *bool `json:"index0,omitempty"`
	// IPOverIB lets the partition carry IP over InfiniBand, when UFM makes it.
	IPOverIB *bool `json:"ipOverIB,omitempty"`
	// MTU of the partition in bytes: 2048 or 4096. UFM is given the three together where
	// one is set, the others as it makes a partition: 2048, 2.5 and 0.
	MTU int32 `json:"mtu,omitempty"`
	// RateLimit in Gb/s, as text: "2.5" to "300". JSON numbers in CRDs should be whole.
	RateLimit string `json:"rateLimit,omitempty"`
	// ServiceLevel is 0 to 15.
	ServiceLevel *int32 `json:"serviceLevel,omitempty"`
	// Namespaces that may use the partition, by their labels. Absent: none; {}: all.
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	// MaxMembers bounds the GUIDs in the partition that this controller put there, by
	// whichever way, those on their way in and out among them; absent: no bound.
	MaxMembers *int32 `json:"maxMembers,omitempty"`
	// Also are other Partitions that every member joins as well: shared storage. Theirs
	// are not followed, and members need no grant for them.
	Also []PartitionRef `json:"also,omitempty"`
}

// PartitionRef names a Partition to join besides.
type PartitionRef struct {
	Name       string `json:"name"`
	Membership string `json:"membership,omitempty"` // limited (the default) or full
}

// PartitionStatus is what became of a Partition.
type PartitionStatus struct {
	PKey    string `json:"pkey,omitempty"`
	Members int32  `json:"members"` // GUIDs of live pods that UFM holds in it
	Pending int32  `json:"pending"` // GUIDs of live pods that it does not hold yet
	// ObservedGeneration is the generation of the spec that the conditions speak of.
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// FinalizerMembers keeps a Partition until its last member is out of UFM.
const FinalizerMembers = "ibfabric.io/members"

// Conditions of Partitions and PartitionClaims.
const (
	// ConditionReady says that it has a PKey and can be used.
	ConditionReady = "Ready"
	// ConditionInSync says that UFM holds exactly the members that the cluster wants.
	ConditionInSync = "InSync"
	// ConditionConflict says that an older Partition has the same PKey, which wins.
	ConditionConflict = "Conflict"
)

// PartitionList is a list of Partitions.
type PartitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Partition `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (p *Partition) DeepCopyObject() runtime.Object { return p.DeepCopy() }

// DeepCopy is a Partition that shares nothing with p.
func (p *Partition) DeepCopy() *Partition {
	out := *p
	out.ObjectMeta = *p.ObjectMeta.DeepCopy()
	out.Spec.Index0, out.Spec.IPOverIB = copyOf(p.Spec.Index0), copyOf(p.Spec.IPOverIB)
	out.Spec.ServiceLevel, out.Spec.MaxMembers = copyOf(p.Spec.ServiceLevel), copyOf(p.Spec.MaxMembers)
	out.Spec.Namespaces = p.Spec.Namespaces.DeepCopy()
	out.Spec.Also = append([]PartitionRef(nil), p.Spec.Also...)
	out.Status.Conditions = copyConditions(p.Status.Conditions)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *PartitionList) DeepCopyObject() runtime.Object {
	out := PartitionList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopy())
	}
	return &out
}

func copyOf[T any](v *T) *T {
	if v == nil {
		return nil
	}
	out := *v
	return &out
}

func copyConditions(list []metav1.Condition) []metav1.Condition {
	return append([]metav1.Condition(nil), list...) // a Condition holds no pointer
}

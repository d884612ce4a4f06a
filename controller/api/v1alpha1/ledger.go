package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Labels that a Ledger carries, to list one fabric's.
const (
	LabelFabric = "ibfabric.io/fabric"
	LabelPKey   = "ibfabric.io/pkey" // "none" for GUIDs without a partition
)

// Ledger is one shard of the controller's book: rows whose first partition is the same.
// Its namespace is the controller's.
type Ledger struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec LedgerSpec `json:"spec"`
}

// LedgerSpec is what a Ledger says.
type LedgerSpec struct {
	// Leader wrote this shard last. A new leader writes its name into every shard
	// before it changes anything, so that a write its predecessor still has under way
	// fails by resourceVersion.
	Leader string `json:"leader,omitempty"`
	// Rows are in order of GUID.
	Rows []LedgerRow `json:"rows,omitempty"`
}

// LedgerRow says whose a GUID is, or was until lately. Its identifiers and its time are
// text: one row that somebody spoilt by hand must not make the others unreadable.
type LedgerRow struct {
	GUID      string        `json:"guid"`
	PodUID    types.UID     `json:"podUID"`
	Namespace string        `json:"namespace"`
	Pod       string        `json:"pod"`
	Interface string        `json:"interface"`
	Network   string        `json:"network"` // namespace/name of the NAD
	PKeys     []LedgerClaim `json:"pkeys,omitempty"`
	// Node is where the pod ran, as far as known, and BootID what that node showed as
	// status.nodeInfo.bootID when the pod was seen to be gone.
	Node   string   `json:"node,omitempty"`
	BootID string   `json:"bootID,omitempty"`
	State  RowState `json:"state"`
	// Since is when the row came into its state, as in 2026-01-02T03:04:05Z. The CRD lets
	// more through than Go reads.
	Since string `json:"since"`
}

// LedgerClaim is a partition that a GUID is put into.
type LedgerClaim struct {
	PKey       string `json:"pkey"`
	Membership string `json:"membership"` // full or limited
	Index0     bool   `json:"index0,omitempty"`
	IPoIB      bool   `json:"ipOverIB,omitempty"`
}

// RowState says whether a row's owner lives.
type RowState string

const (
	// Assigned rows belong to a live pod.
	Assigned RowState = "Assigned"
	// Held rows belonged to one: UFM was seen without the GUID at Since, and nobody
	// else gets it until the hold is over.
	Held RowState = "Held"
)

// LedgerList is a list of Ledgers.
type LedgerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Ledger `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *Ledger) DeepCopyObject() runtime.Object {
	out := *l
	out.ObjectMeta = *l.ObjectMeta.DeepCopy()
	out.Spec.Rows = copyRows(l.Spec.Rows)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *LedgerList) DeepCopyObject() runtime.Object {
	out := LedgerList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*Ledger))
	}
	return &out
}

func copyRows(rows []LedgerRow) []LedgerRow {
	if rows == nil {
		return nil
	}
	out := make([]LedgerRow, len(rows))
	for i, r := range rows {
		r.PKeys = append([]LedgerClaim(nil), r.PKeys...)
		out[i] = r
	}
	return out
}

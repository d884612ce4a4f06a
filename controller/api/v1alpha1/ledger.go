package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Labels that a Ledger carries, to list one fabric's.
const (
	LabelFabric = "ibfabric.io/fabric"
	LabelPKey   = "ibfabric.io/pkey" // "none" for GUIDs without a partition; "unclaimed"
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
	// Rows are in order of GUID, behind those that cannot be read. Each is one string: see
	// LedgerRow.
	Rows []LedgerRow `json:"rows,omitempty"`
	// Unclaimed are GUIDs of the controller's range that stand in UFM, or did until lately,
	// and have no row. One shard has them all, and no rows.
	Unclaimed []string `json:"unclaimed,omitempty"`
}

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
	out.Spec.Unclaimed = append([]string(nil), l.Spec.Unclaimed...)
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

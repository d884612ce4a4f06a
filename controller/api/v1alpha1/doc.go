// Package v1alpha1 holds ibfabric's API types, group ibfabric.io.
//
// A Ledger is the controller's own book: which GUID belongs to which interface of which
// pod, and which partitions it is in. Nobody else writes it. A Partition is a PKey and who
// may use it; a PartitionClaim asks for one of its own for a workload.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the types here.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "ibfabric.io", Version: "v1alpha1"}
}

// AddToScheme makes the types known to a client.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &Ledger{}, &LedgerList{}, &Partition{}, &PartitionList{}, &PartitionClaim{}, &PartitionClaimList{}, &Journal{}, &JournalList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}

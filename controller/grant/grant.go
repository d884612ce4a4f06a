// Package grant knows the cluster's Partitions and says who may use which PKey, and as
// what: the controller asks it for every pod, and admission for every NAD. It reads
// objects that others keep and talks to nobody.
package grant

import (
	"errors"
	"fmt"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

// Grants says which partitions a namespace gets for the claims of a network: names become
// PKeys, the Partition says how its members join, and other Partitions may come with it.
type Grants interface {
	Resolve(namespace string, claims []attach.Claim) ([]attach.Claim, error)
}

// DeniedError says that a namespace may not use a partition.
type DeniedError struct {
	Namespace string
	PKey      pkey.PKey
	Partition string // "" where the PKey has none, and one is required
}

func (e *DeniedError) Error() string {
	if e.Partition == "" {
		return fmt.Sprintf("pkey %s has no Partition, and may not be used without one: ask for a Partition with that pkey that grants namespace %s", e.PKey, e.Namespace)
	}
	return fmt.Sprintf("namespace %s may not use pkey %s: Partition %s does not grant it; ask its owner for a label that spec.namespaces selects", e.Namespace, e.PKey, e.Partition)
}

// ErrNotYet says that a Partition has no PKey yet, or that there is none of that name:
// what asked comes again when Partitions change.
var ErrNotYet = errors.New("the partition cannot be used yet")

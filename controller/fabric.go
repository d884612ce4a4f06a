package controller

import (
	"context"
	"errors"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Fabric is what the controller needs of a subnet manager: members put into partitions
// and taken out. Both verbs can be repeated without harm, and say which address answered.
//
// Its errors may have the methods Rejected() bool (what was asked is refused and will be
// again: the batch is split until the culprit stands alone) and OutcomeUnknown() bool
// (it may have happened); any other error means that nothing happened.
type Fabric interface {
	Add(ctx context.Context, p pkey.PKey, b pkey.Batch) (from string, err error)
	Remove(ctx context.Context, p pkey.PKey, guids []guid.GUID) (from string, err error)
}

// Reader is what a Fabric can do that shows its partitions. Without it nothing can be
// verified: an answered write counts as done, and there is no drift repair.
//
// Partitions fails as a whole only when nothing can be told: of one partition whose members
// cannot be read it sets Err, and Partition, asked for that one, fails.
type Reader interface {
	Partition(ctx context.Context, p pkey.PKey) (pkey.Partition, error)
	Partitions(ctx context.Context) ([]pkey.Partition, error)
}

// Applier is what a Fabric can do that tells when changes reached the switches: the text
// that LastUpdated returns is another one from then on.
type Applier interface {
	LastUpdated(ctx context.Context) (string, error)
}

// Noop is the Fabric of a cluster without a subnet manager to talk to: pods get their
// GUIDs, and their PKeys are somebody else's business.
type Noop struct{}

// Add does nothing.
func (Noop) Add(context.Context, pkey.PKey, pkey.Batch) (string, error) { return "noop", nil }

// Remove does nothing.
func (Noop) Remove(context.Context, pkey.PKey, []guid.GUID) (string, error) { return "noop", nil }

func isRejected(err error) bool {
	var e interface{ Rejected() bool }
	return errors.As(err, &e) && e.Rejected()
}

// isFabricError reports whether an error is what a Fabric said of a call.
func isFabricError(err error) bool {
	var e interface{ OutcomeUnknown() bool }
	return errors.As(err, &e)
}

// SyncPolicy says how far the controller goes.
type SyncPolicy string

// The policies.
const (
	Sync    SyncPolicy = "sync"     // adds and removes
	AddOnly SyncPolicy = "add-only" // never removes: GUIDs of gone pods stay where they are
	DryRun  SyncPolicy = "dry-run"  // says what it would do, and touches nothing at all
)

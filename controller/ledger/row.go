// Package ledger is the controller's book of who owns which GUID, and in which
// partitions it is: in memory, indexed for the loops, and in the API server as Ledger
// objects, so that the next leader knows what this one did.
//
// Annotations belong to tenants and get lost; the ledger does neither. A row is written
// before UFM is told of its GUID and goes only after the hold that follows its removal.
package ledger

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// State says where a GUID is on its way through the ledger.
type State uint8

const (
	// Assigned: its pod lives, and it must be in its partitions.
	Assigned State = iota
	// Leaving: its pod is gone, and it must go out of them. Stored as Assigned: a new
	// leader finds out by itself that the pod is gone.
	Leaving
	// Held: UFM was seen without it, and it waits before anybody else gets it.
	Held
)

// UnknownNode stands for the node of a pod that may have run nobody knows where.
const UnknownNode = "?"

// Row says whose a GUID is.
type Row struct {
	GUID      guid.GUID
	Pod       types.NamespacedName
	UID       types.UID
	Interface string
	Network   types.NamespacedName
	Claims    []attach.Claim // never changed in place
	Node      string         // "" never scheduled; UnknownNode
	BootID    string         // of the node, when the pod was seen to be gone
	State     State
	Since     time.Time // in this state

	// Sent: the row may be in the API server. Told: it is, so UFM may have been told.
	Sent, Told bool
	// Seen: this leader saw the pod alive. A row without it is judged by the garbage
	// collection alone, which asks the API server itself.
	Seen bool

	// Returned: it was held and UFM showed it again, which is not stored yet.
	Returned bool

	// Last says, in what Out returns, that nothing of the pod is on its way out any more.
	Last bool

	out map[pkey.PKey]bool // leaving: the partitions it was seen to be out of
}

// Owner is the row's owner in the pool's terms.
func (r Row) Owner() guid.Owner {
	return guid.Owner{UID: string(r.UID), Interface: r.Interface, Name: r.Pod.String()}
}

// MayBeAdded reports whether UFM may be told to take the row's GUID in: its pod was seen
// alive, and the row is stored.
func (r Row) MayBeAdded() bool { return r.State == Assigned && r.Told && r.Seen }

// WasReturned reports whether the row must be stored before its GUID is taken out again:
// the API server still says that it is held. A next leader that believed it would count a
// hold though nobody knows what came of this removal (rule 4).
func (r Row) WasReturned() bool { return r.Returned }

// MayBeRemoved reports whether UFM may be told to let the row's GUID go.
func (r Row) MayBeRemoved() bool { return r.State == Leaving }

// Claim finds the row's claim on p.
func (r Row) Claim(p pkey.PKey) (attach.Claim, bool) {
	for _, c := range r.Claims {
		if c.PKey == p {
			return c, true
		}
	}
	return attach.Claim{}, false
}

// primary is the partition whose shards hold the row; 0 for a GUID without one.
func (r Row) primary() pkey.PKey {
	if len(r.Claims) == 0 {
		return 0
	}
	return r.Claims[0].PKey
}

// Partitions are those that the row claims; a row without one stands under PKey 0.
func (r Row) Partitions() []pkey.PKey {
	if len(r.Claims) == 0 {
		return []pkey.PKey{0}
	}
	all := make([]pkey.PKey, len(r.Claims))
	for i, c := range r.Claims {
		all[i] = c.PKey
	}
	return all
}

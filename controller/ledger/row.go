// Package ledger is the controller's book of who owns which GUID, and in which
// partitions it is: in memory, indexed for the loops, and in the API server as Ledger
// objects, so that the next leader knows what this one did.
//
// Annotations belong to tenants and get lost; the ledger does neither. A row is written
// before UFM is told of its GUID and goes only after the hold that follows its removal.
package ledger

import (
	"fmt"
	"strings"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
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
// the API server still says that it is held, and since when, and a next leader that
// believed it would free the GUID too early.
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

// toAPI is the row as it is stored.
func (r Row) toAPI() v1alpha1.LedgerRow {
	out := v1alpha1.LedgerRow{
		GUID: r.GUID.String(), PodUID: r.UID, Namespace: r.Pod.Namespace, Pod: r.Pod.Name,
		Interface: r.Interface, Network: r.Network.String(), Node: r.Node, BootID: r.BootID,
		State: v1alpha1.Assigned, Since: r.Since.UTC().Format(time.RFC3339),
	}
	if r.State == Held {
		out.State = v1alpha1.Held
	}
	for _, c := range r.Claims {
		out.PKeys = append(out.PKeys, v1alpha1.LedgerClaim{
			PKey: c.PKey.String(), Membership: c.Membership.String(), Index0: c.Index0, IPoIB: c.IPoIB,
		})
	}
	return out
}

// fromAPI reads a stored row. Somebody may have spoilt it by hand: what it returns can be
// worked with and stored again, and everything else is an error.
func fromAPI(in v1alpha1.LedgerRow) (Row, error) {
	g, err := guid.Parse(in.GUID)
	if err != nil {
		return Row{}, err
	}
	if !isName(in.Namespace) || !isName(in.Pod) || in.PodUID == "" || in.Interface == "" {
		return Row{}, fmt.Errorf("row of guid %s: %.60q in namespace %.60q with uid %.60q is no pod with an interface (%.60q)", g, in.Pod, in.Namespace, in.PodUID, in.Interface)
	}
	since, err := time.Parse(time.RFC3339, in.Since)
	if err != nil {
		return Row{}, fmt.Errorf("row of guid %s: since %.60q is no time; write it as 2026-01-02T03:04:05Z", g, in.Since)
	}
	r := Row{
		GUID: g, Pod: types.NamespacedName{Namespace: shared(in.Namespace), Name: in.Pod}, UID: in.PodUID,
		Interface: shared(in.Interface), Node: shared(in.Node), BootID: shared(in.BootID), Since: since, Sent: true, Told: true,
	}
	namespace, name, _ := strings.Cut(in.Network, string(types.Separator))
	r.Network = types.NamespacedName{Namespace: shared(namespace), Name: shared(name)}
	switch dated := !r.Since.IsZero() && r.Since.UTC().Year() < lastYear; {
	case !dated:
		// No such time can be stored again. A hold of which nobody knows since when is none:
		// the GUID is seen out of its partitions anew, and held anew.
		r.Since = time.Unix(0, 0)
	case in.State == v1alpha1.Held:
		r.State = Held
		r.Since = r.Since.Add(time.Second) // stored in whole seconds: never shorter
	}
	for _, c := range in.PKeys {
		if err := r.addClaim(c); err != nil {
			return Row{}, fmt.Errorf("row of guid %s: %w", g, err)
		}
	}
	return r, nil
}

// shared is s, kept once for all rows that say the same.
func shared(s string) string { return unique.Make(s).Value() }

// lastYear is the last one that RFC 3339 can write.
const lastYear = 9999

// isName reports whether s can stand in the path of a request, so that the API server
// can be asked whether there is such an object.
func isName(s string) bool { return s != "" && len(content.IsPathSegmentName(s)) == 0 }

func (r *Row) addClaim(in v1alpha1.LedgerClaim) error {
	p, err := pkey.Parse(in.PKey)
	if err != nil {
		return err
	}
	if _, twice := r.Claim(p); twice {
		return fmt.Errorf("pkey %s stands there twice; name it once", p)
	}
	m, err := pkey.ParseMembership(in.Membership)
	if err != nil {
		return err
	}
	r.Claims = append(r.Claims, attach.Claim{PKey: p, Mode: pkey.Mode{Membership: m, Index0: in.Index0}, IPoIB: in.IPoIB})
	return nil
}

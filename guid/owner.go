package guid

import (
	"errors"
	"fmt"
)

// Owner is who a GUID belongs to: one network interface of one pod. UID and Interface
// tell owners apart; Name is for people and is never compared.
type Owner struct {
	UID       string // of the pod
	Interface string // in the pod, as Multus names it: net1
	Name      string // namespace/name of the pod
}

func (o Owner) String() string { return o.Name + " " + o.Interface }

func (o Owner) key() ownerKey { return ownerKey{o.UID, o.Interface} }

type ownerKey struct{ uid, ifname string }

// ErrExhausted says that every GUID of the ranges is owned or held.
var ErrExhausted = errors.New("guid pool is exhausted: widen its range, or wait for held GUIDs to become free")

// OutOfRangeError says that a GUID was asked for by value and lies in no range.
type OutOfRangeError struct {
	GUID   GUID
	Ranges []Range
}

func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("guid %s is outside the pool's range %v", e.GUID, e.Ranges)
}

// TakenError says that a GUID belongs to Holder, or did until lately and is Held.
type TakenError struct {
	GUID   GUID
	Holder Owner
	Held   bool
}

func (e *TakenError) Error() string {
	if e.Held {
		return fmt.Sprintf("guid %s is held: %s had it until lately", e.GUID, e.Holder)
	}
	return fmt.Sprintf("guid %s belongs to %s", e.GUID, e.Holder)
}

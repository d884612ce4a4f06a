package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
)

// HasNetNS reports whether the network namespace of an attachment still exists. That there
// is one at its path does not say so: of /proc/<pid>/ns/net the number is given to another
// process one day, which can be in another pod's namespace or in the host's.
func HasNetNS(ctx context.Context, node host.Node, rec *record.Record) (bool, error) {
	if rec.NetNS == "" {
		return false, nil // forgotten
	}
	there, err := node.HasNetNS(ctx, host.NetNS(rec.NetNS))
	if !there || err != nil || rec.NetNSID == "" {
		return there, err
	}
	id, err := node.NetNSID(ctx, host.NetNS(rec.NetNS))
	if errors.Is(err, host.ErrNotFound) {
		return false, nil // it went this moment
	}
	return id == rec.NetNSID || id == "", err
}

// forgetNetNS makes sure that nothing is undone in a namespace that is another pod's by now.
func (e *Engine) forgetNetNS(ctx context.Context, rec *record.Record) error {
	if rec.NetNSID == "" {
		return nil
	}
	there, err := HasNetNS(ctx, e.Node, rec)
	if err == nil && !there {
		rec.NetNS = ""
	}
	return err
}

// EndedError says that the network namespace of an attachment has ended, whatever is at its
// path now.
type EndedError struct{ NetNS string }

func (e *EndedError) Error() string {
	return fmt.Sprintf("the network namespace that was at %s has ended", e.NetNS)
}

// NeedNetNS fails with an *EndedError when the network namespace of an attachment has ended.
// It comes right before anything enters it: an ADD waits for locks, the fabric and IPAM, for
// minutes at worst, and the path may be another pod's by then.
func NeedNetNS(ctx context.Context, node host.Node, rec *record.Record) error {
	there, err := HasNetNS(ctx, node, rec)
	if err != nil || there {
		return err
	}
	return &EndedError{NetNS: rec.NetNS}
}

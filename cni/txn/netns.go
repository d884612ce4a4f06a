package txn

import (
	"context"
	"errors"

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

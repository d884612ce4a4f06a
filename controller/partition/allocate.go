package partition

import (
	"context"
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/pkey"
)

// pkeyOf is a Partition's PKey: the one that its status or its spec has, else a new one.
// Why it gets none is a *noPKeyError, and any other error is for another try.
func (r *Reconciler) pkeyOf(ctx context.Context, part *v1alpha1.Partition) (p pkey.PKey, again time.Duration, err error) {
	p, err = grant.PKeyOf(part)
	switch {
	case err != nil:
		return 0, 0, &noPKeyError{"Invalid", err.Error()}
	case p != 0:
		return p, 0, nil
	case !part.DeletionTimestamp.IsZero():
		return 0, 0, &noPKeyError{"Deleting", "it never had a pkey"}
	case len(r.cfg.Range) == 0:
		return 0, 0, &noPKeyError{"NoRange", "this controller chooses no PKeys: make a Partition with spec.pkey, or start the controller with --pkey-range"}
	}
	if wait, err := r.Facts.MayGive(); wait > 0 || err != nil {
		return 0, wait, &noPKeyError{"NotYet", "it gets a pkey when a former leader of the controller can write no more"}
	}
	p, err = r.allocate(ctx)
	return p, 0, err
}

// allocate chooses a PKey. The API server itself is asked what other Partitions have: the
// cache may lack what was given out a moment ago, by this leader or the one before.
//
// Nothing else is kept of what was given out. The PKey of a Partition that is gone stays
// taken by the rows of its members until their hold is over, and by UFM while that shows a
// partition of it, so that a restart forgets nothing.
func (r *Reconciler) allocate(ctx context.Context) (pkey.PKey, error) {
	parts, err := r.list(ctx, r.deps.Client)
	if err != nil {
		return 0, err
	}
	taken, newest := r.Facts.Taken(), v1alpha1.Partition{}
	for _, part := range parts {
		p, err := grant.PKeyOf(&part)
		if err != nil || p == 0 {
			continue
		}
		taken[p] = true
		if part.Spec.PKey == "" && newest.CreationTimestamp.Before(&part.CreationTimestamp) {
			newest = part
		}
	}
	last := r.last
	if last == 0 { // a new leader goes on where the former one was
		last, _ = grant.PKeyOf(&newest)
	}
	p, ok := Next(r.cfg.Range, last, func(p pkey.PKey) bool { return taken[p] || !r.cfg.Scope.Contains(p) })
	if !ok {
		return 0, &noPKeyError{"Exhausted", fmt.Sprintf("every pkey of %s is taken by a Partition, by GUIDs that are held, or in UFM: delete a Partition, or widen --pkey-range", r.cfg.Range)}
	}
	return p, nil
}

package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// reconcile brings one Partition to where it should be: with the finalizer, with a PKey,
// and with a status that says how it stands. It says when to look again.
func (r *Reconciler) reconcile(ctx context.Context, name string) (again time.Duration, err error) {
	var cached v1alpha1.Partition
	err = r.deps.Cache.Get(ctx, types.NamespacedName{Name: name}, &cached)
	switch {
	case apierrors.IsNotFound(err):
		r.forget(name)
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read partition %s from the cache: %w", name, err)
	case !r.cfg.Mine.Matches(labels.Set(cached.Labels)):
		return 0, nil
	}
	part := cached.DeepCopy()
	if _, err := r.Facts.MayGive(); err != nil {
		return 0, err
	}
	if part.DeletionTimestamp.IsZero() && controllerutil.AddFinalizer(part, v1alpha1.FinalizerMembers) {
		if err := r.patch(ctx, part, &cached); err != nil {
			return 0, fmt.Errorf("put the finalizer on partition %s: %w", name, err)
		}
	}
	s := state{part: part, stored: cached.DeepCopy().Status}
	if s.pkey, again, err = r.pkeyOf(ctx, part); err != nil && !errors.As(err, new(*noPKeyError)) {
		return 0, err
	}
	s.why = err
	if s.pkey != 0 {
		part.Status.PKey = s.pkey.String()
	}
	r.judge(&s)
	if !part.DeletionTimestamp.IsZero() && s.left() == 0 {
		return 0, r.letGo(ctx, part)
	}
	rest, err := r.writeStatus(ctx, &s)
	return max(again, rest), err
}

// judge fills in what grants and controller say of a Partition with a PKey.
func (r *Reconciler) judge(s *state) {
	if s.pkey == 0 {
		return
	}
	winner, why := r.deps.Grants.Book().Judge(s.part)
	if s.winner = winner; winner != "" {
		s.why = why
		return // the members are the other one's
	}
	s.tally = r.Facts.Tally(s.pkey)
	if s.why = why; !r.cfg.Scope.Contains(s.pkey) {
		s.why = fmt.Errorf("pkey %s is outside what this controller may change (%s): make a Partition with one inside, or widen --pkey-scope", s.pkey, r.cfg.Scope)
	}
}

// letGo takes the finalizer away from a Partition without members.
func (r *Reconciler) letGo(ctx context.Context, part *v1alpha1.Partition) error {
	before := part.DeepCopy()
	if !controllerutil.RemoveFinalizer(part, v1alpha1.FinalizerMembers) {
		return nil
	}
	if err := r.patch(ctx, part, before); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take the finalizer off partition %s: %w", part.Name, err)
	}
	return nil
}

// patch changes a Partition's metadata, unless somebody else has changed it meanwhile.
func (r *Reconciler) patch(ctx context.Context, part, before *v1alpha1.Partition) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return r.deps.Client.Patch(ctx, part, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// writeWithin bounds one write to the API server.
const writeWithin = 10 * time.Second

// writeStatus writes a status that differs from the one there is, but not too often: while
// a job starts, members come with every answer of UFM. A new PKey does not wait.
func (r *Reconciler) writeStatus(ctx context.Context, s *state) (again time.Duration, err error) {
	out := s.part.DeepCopy()
	out.Status.ObservedGeneration = out.Generation
	out.Status.Members, out.Status.Pending = int32(s.tally.Members), int32(s.tally.Pending)
	if s.pkey != 0 {
		out.Status.PKey = s.pkey.String()
	}
	for _, cond := range s.conditions() {
		cond.ObservedGeneration, cond.LastTransitionTime = out.Generation, metav1.NewTime(r.deps.Now())
		meta.SetStatusCondition(&out.Status.Conditions, cond)
	}
	if equality.Semantic.DeepEqual(out.Status, s.stored) {
		return 0, nil
	}
	if rest := r.restOf(out.Name); rest > 0 && out.Status.PKey == s.stored.PKey {
		return rest, nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	if err := r.deps.Client.Status().Update(ctx, out); err != nil {
		return 0, fmt.Errorf("write the status of partition %s: %w", out.Name, err)
	}
	r.wrote(out, s)
	return 0, nil
}

// wrote notes that a status is stored, and tells what is news to who reads no statuses.
func (r *Reconciler) wrote(out *v1alpha1.Partition, s *state) {
	r.mu.Lock()
	r.written[out.Name] = r.deps.Now()
	r.mu.Unlock()
	if out.Spec.PKey == "" && s.stored.PKey == "" && s.pkey != 0 {
		r.last = s.pkey
	}
	before := meta.FindStatusCondition(s.stored.Conditions, v1alpha1.ConditionReady)
	now := meta.FindStatusCondition(out.Status.Conditions, v1alpha1.ConditionReady)
	if before != nil && before.Status == now.Status && before.Reason == now.Reason {
		return
	}
	f := record.Fields{Detail: fmt.Sprintf("Partition %s, ready %s: %s", out.Name, now.Status, now.Message)}
	if s.pkey != 0 {
		f.PKeys = []pkey.PKey{s.pkey}
	}
	r.deps.Record.Tell(out, record.PartitionJudged, f)
}

func (r *Reconciler) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, name)
}

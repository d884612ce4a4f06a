package claim

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// partitionName is that of a claim's Partition. The UID is the API server's to choose, so
// that neither a tenant nor a second claim of the same name can come to it.
func partitionName(uid types.UID) string { return "claim-" + string(uid) }

// sync brings one claim to where it should be.
func (r *Reconciler) sync(ctx context.Context, key types.NamespacedName) error {
	claim, err := r.claim(ctx, key)
	if err != nil {
		return err
	}
	if err := r.endFormer(ctx, key, claim); err != nil {
		return err
	}
	switch {
	case claim == nil:
		return nil
	case !claim.DeletionTimestamp.IsZero():
		return r.finish(ctx, claim)
	}
	return r.provide(ctx, claim)
}

// claim reads one of this fabric's, a copy of its own; nil is none.
func (r *Reconciler) claim(ctx context.Context, key types.NamespacedName) (*v1alpha1.PartitionClaim, error) {
	var claim v1alpha1.PartitionClaim
	err := r.deps.Cache.Get(ctx, key, &claim)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read claim %s from the cache: %w", key, err)
	case !r.cfg.Mine.Matches(labels.Set(claim.Labels)):
		return nil, nil
	}
	return &claim, nil
}

// provide gives a claim its Partition, and networks with the PKey of that.
func (r *Reconciler) provide(ctx context.Context, claim *v1alpha1.PartitionClaim) error {
	stored := claim.DeepCopy()
	if controllerutil.AddFinalizer(claim, v1alpha1.FinalizerClaim) {
		return r.patch(ctx, claim, stored, "put the finalizer on claim") // and that brings it back
	}
	part, err := r.partition(ctx, claim)
	if err != nil {
		return err
	}
	s := state{part: part}
	switch {
	case !part.DeletionTimestamp.IsZero():
		// Somebody deleted it. When it is gone the claim gets another.
		if err := r.end(ctx, part, claim.Namespace); err != nil {
			return err
		}
		s.networks = stored.Status.Networks
	case part.Status.PKey != "":
		if s.pkey, err = pkey.Parse(part.Status.PKey); err != nil {
			return fmt.Errorf("partition %s: status.pkey: %w", part.Name, err)
		}
		s.networks, s.why = r.networks(ctx, claim, s.pkey)
	}
	again := unlessForAPerson(s.why)
	if again != nil && r.queue.NumRequeues(client.ObjectKeyFromObject(claim)) == 0 {
		// Nobody is told of the first time. Of the replicas' webhooks, ours too, some know a
		// new Partition a moment after this one does.
		return again
	}
	if err := r.writeStatus(ctx, claim, s); err != nil {
		return err
	}
	return again
}

// unlessForAPerson is what is worth another try by itself. What the API server refuses is,
// seldom: a webhook may be behind. What a claim or a network says is not.
func unlessForAPerson(err error) error {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		for _, one := range list.Unwrap() {
			if again := unlessForAPerson(one); again != nil {
				return again
			}
		}
		return nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &refusedError{}) && !errors.As(err, &status) {
		return nil
	}
	return err
}

// partition is the claim's, made if there is none.
func (r *Reconciler) partition(ctx context.Context, claim *v1alpha1.PartitionClaim) (*v1alpha1.Partition, error) {
	name := partitionName(claim.UID)
	var part v1alpha1.Partition
	err := r.deps.Cache.Get(ctx, types.NamespacedName{Name: name}, &part)
	if !apierrors.IsNotFound(err) {
		if err != nil {
			return nil, fmt.Errorf("read partition %s from the cache: %w", name, err)
		}
		return &part, nil
	}
	part = *r.newPartition(claim)
	if err := r.deps.Client.Create(ctx, &part); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make partition %s: %w", name, err)
	}
	return &part, nil
}

// newPartition grants the claim's namespace alone, by the label that the API server itself
// puts on each, and has the labels that make it this fabric's.
func (r *Reconciler) newPartition(claim *v1alpha1.PartitionClaim) *v1alpha1.Partition {
	set := map[string]string{}
	if wants, selectable := r.cfg.Mine.Requirements(); selectable {
		for _, want := range wants {
			if v, ok := claim.Labels[want.Key()]; ok {
				set[want.Key()] = v
			}
		}
	}
	set[v1alpha1.LabelClaim], set[v1alpha1.LabelClaimNamespace] = claim.Name, claim.Namespace
	return &v1alpha1.Partition{
		ObjectMeta: metav1.ObjectMeta{Name: partitionName(claim.UID), Labels: set, Finalizers: []string{v1alpha1.FinalizerClaim, v1alpha1.FinalizerMembers}},
		Spec: v1alpha1.PartitionSpec{Namespaces: &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: claim.Namespace},
		}},
	}
}

// finish lets a claim go when its Partition has gone. Its networks stay until then: a pod
// that still runs may be put up anew, after its node was.
func (r *Reconciler) finish(ctx context.Context, claim *v1alpha1.PartitionClaim) error {
	if !controllerutil.ContainsFinalizer(claim, v1alpha1.FinalizerClaim) {
		return nil
	}
	// The API server is asked: the cache may not have seen a Partition made a moment ago.
	var part v1alpha1.Partition
	err := r.deps.Client.Get(ctx, types.NamespacedName{Name: partitionName(claim.UID)}, &part)
	switch {
	case err == nil:
		if err := r.end(ctx, &part, claim.Namespace); err != nil {
			return err
		}
		s := state{part: &part, networks: claim.Status.Networks}
		s.pkey, _ = grant.PKeyOf(&part) // one that is no PKey is none
		return r.writeStatus(ctx, claim, s)
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("see whether partition %s is gone: %w", partitionName(claim.UID), err)
	}
	if gone, err := r.clear(ctx, claim.Namespace, claim.UID); err != nil || !gone {
		return err // they bring it back
	}
	before := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, v1alpha1.FinalizerClaim)
	if done, err := r.patched(ctx, claim, before, "take the finalizer off claim"); err != nil || !done {
		return err
	}
	f := record.Fields{UID: claim.UID, Detail: "claim " + client.ObjectKeyFromObject(claim).String()}
	if p, err := pkey.Parse(claim.Status.PKey); err == nil {
		f.PKeys = []pkey.PKey{p}
	}
	r.deps.Record.Log(record.ClaimGone, f)
	return nil
}

// end brings a claim's Partition nearer to its end, one step at a time; what happens then
// brings the claim back. Nobody new gets in from the first step on. The networks go when
// the last member is out, and before the Partition does: without it their PKey would be
// open to the pods that wait, where no Partition is required.
func (r *Reconciler) end(ctx context.Context, part *v1alpha1.Partition, namespace string) error {
	if part.DeletionTimestamp.IsZero() {
		if err := r.deps.Client.Delete(ctx, part.DeepCopy(), client.Preconditions{UID: &part.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete partition %s: %w", part.Name, err)
		}
		return nil
	}
	if controllerutil.ContainsFinalizer(part, v1alpha1.FinalizerMembers) {
		return nil
	}
	if gone, err := r.clear(ctx, namespace, uidOf(part)); err != nil || !gone {
		return err
	}
	before := part.DeepCopy()
	if !controllerutil.RemoveFinalizer(part, v1alpha1.FinalizerClaim) {
		return nil
	}
	return r.patch(ctx, part, before, "take the finalizer off partition")
}

// endFormer ends the Partitions of claims that had this name and are gone without it: a
// finalizer was taken away by hand, or a leader wrote its last as the next one began.
func (r *Reconciler) endFormer(ctx context.Context, key types.NamespacedName, claim *v1alpha1.PartitionClaim) error {
	var list v1alpha1.PartitionList
	if err := r.deps.Cache.List(ctx, &list, client.MatchingFields{byClaim: key.String()}, client.MatchingLabelsSelector{Selector: r.cfg.Mine}); err != nil {
		return fmt.Errorf("list partitions of claim %s from the cache: %w", key, err)
	}
	for i := range list.Items {
		part := &list.Items[i]
		if claim != nil && part.Name == partitionName(claim.UID) {
			continue
		}
		var now v1alpha1.PartitionClaim
		err := r.deps.Client.Get(ctx, key, &now)
		switch {
		case err == nil && part.Name == partitionName(now.UID):
			continue // the event that brings it is on its way
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("see whether claim %s is gone: %w", key, err)
		}
		if err := r.end(ctx, part, key.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// patch changes the finalizers of an object, unless somebody else has changed it meanwhile:
// then the cache is behind, and what it gets brings the claim back.
func (r *Reconciler) patch(ctx context.Context, to, from client.Object, what string) error {
	_, err := r.patched(ctx, to, from, what)
	return err
}

// patched is patch, and says whether it was done.
func (r *Reconciler) patched(ctx context.Context, to, from client.Object, what string) (done bool, err error) {
	err = r.deps.Client.Patch(ctx, to, client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{}))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return false, fmt.Errorf("%s %s: %w", what, client.ObjectKeyFromObject(to), err)
	}
	return err == nil, nil
}

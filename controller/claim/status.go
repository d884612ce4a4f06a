package claim

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// state is all that a claim's status comes from.
type state struct {
	part     *v1alpha1.Partition
	pkey     pkey.PKey // 0: none yet
	networks []string  // those that stand
	why      error     // what is wrong with the others
}

// reasonRefused is that of a claim whose networks need a person.
const reasonRefused = "NetworkRefused"

// ready says whether pods can use a claim.
func (s state) ready(claim *v1alpha1.PartitionClaim) metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
		return metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...), ObservedGeneration: claim.Generation,
		}
	}
	said := "it is being made" // by the Partition of itself
	usable := false
	if c := meta.FindStatusCondition(s.part.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		said, usable = c.Message, c.Status == metav1.ConditionTrue
	}
	switch {
	case !claim.DeletionTimestamp.IsZero():
		return is(metav1.ConditionFalse, "Deleting", "no pod gets in any more; those that are in keep what they have, and the claim goes with the last. Partition %s: %s", s.part.Name, said)
	case !s.part.DeletionTimestamp.IsZero():
		return is(metav1.ConditionFalse, "PartitionDeleted", "somebody deleted Partition %s; when its members are gone the claim gets another, with another pkey: delete the pods. It says: %s", s.part.Name, said)
	case s.pkey == 0:
		return is(metav1.ConditionFalse, "NoPKey", "it has no pkey yet. Partition %s: %s", s.part.Name, said)
	case s.why != nil:
		return is(metav1.ConditionFalse, reasonRefused, "%s", strings.ReplaceAll(s.why.Error(), "\n", "; "))
	case !usable:
		return is(metav1.ConditionFalse, "PartitionNotReady", "Partition %s: %s", s.part.Name, said)
	case len(s.networks) < len(claim.Spec.Networks):
		return is(metav1.ConditionFalse, "NetworksPending", "some of its networks are being made")
	case len(s.networks) == 0:
		return is(metav1.ConditionTrue, "Usable", "networks of namespace %s may name pkey %s", claim.Namespace, s.pkey)
	}
	return is(metav1.ConditionTrue, "Usable", "pods of namespace %s can name %s", claim.Namespace, strings.Join(s.networks, ", "))
}

// writeStatus writes a status that differs from the one there is. The status is also the
// memory of what was said: a new leader repeats nothing.
func (r *Reconciler) writeStatus(ctx context.Context, claim *v1alpha1.PartitionClaim, s state) error {
	out := claim.DeepCopy()
	out.Status.ObservedGeneration = claim.Generation
	out.Status.Partition, out.Status.PKey, out.Status.Networks = s.part.Name, "", s.networks
	if s.pkey != 0 {
		out.Status.PKey = s.pkey.String()
	}
	ready := s.ready(claim)
	ready.LastTransitionTime = metav1.NewTime(r.deps.Now())
	meta.SetStatusCondition(&out.Status.Conditions, ready)
	if equality.Semantic.DeepEqual(out.Status, claim.Status) {
		return nil
	}
	if err := r.deps.Client.Status().Update(ctx, out); err != nil {
		return fmt.Errorf("write the status of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	r.tell(out, meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionReady), ready, s.pkey)
	return nil
}

// tell says what is news in a status that was written.
func (r *Reconciler) tell(claim *v1alpha1.PartitionClaim, before *metav1.Condition, now metav1.Condition, p pkey.PKey) {
	if before != nil && before.Reason == now.Reason && before.Message == now.Message {
		return
	}
	f := record.Fields{UID: claim.UID, Detail: fmt.Sprintf("claim %s: %s", client.ObjectKeyFromObject(claim), now.Message)}
	if p != 0 {
		f.PKeys = []pkey.PKey{p}
	}
	switch {
	case now.Status == metav1.ConditionTrue:
		r.deps.Record.Log(record.ClaimReady, f)
	case claim.DeletionTimestamp.IsZero():
		r.deps.Record.Tell(claim, record.ClaimRefused, f)
	}
}

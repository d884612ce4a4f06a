package claim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

const kind = "PartitionClaim"

// lastApplied is kubectl's note of what it applied, which is not true of a copy.
const lastApplied = corev1.LastAppliedConfigAnnotation

// refusedError says why no network comes of what a claim asks for, until a person changes
// something.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

func refused(format string, args ...any) error { return refusedError{fmt.Errorf(format, args...)} }

// sourceOf is the NAD that a claim of some namespace copies.
func sourceOf(namespace string, n v1alpha1.ClaimNetwork) types.NamespacedName {
	if ns, name, ok := strings.Cut(n.From, "/"); ok {
		return types.NamespacedName{Namespace: ns, Name: name}
	}
	return types.NamespacedName{Namespace: namespace, Name: n.From}
}

// copyOf is what the copy is called.
func copyOf(claim *v1alpha1.PartitionClaim, n v1alpha1.ClaimNetwork) types.NamespacedName {
	name := n.Name
	if name == "" {
		name = claim.Name + "-" + sourceOf(claim.Namespace, n).Name
	}
	return types.NamespacedName{Namespace: claim.Namespace, Name: name}
}

// ownerOf is the claim that a NAD was made for; nil without one.
func ownerOf(nad *nadv1.NetworkAttachmentDefinition) *metav1.OwnerReference {
	if ref := metav1.GetControllerOf(nad); ref != nil && ref.Kind == kind && ref.APIVersion == v1alpha1.GroupVersion().String() {
		return ref
	}
	return nil
}

func owns(uid types.UID, nad *nadv1.NetworkAttachmentDefinition) bool {
	ref := ownerOf(nad)
	return ref != nil && ref.UID == uid
}

// networks makes the claim's networks, or mends them. It gives the names of those that
// stand, and all that went wrong.
func (r *Reconciler) networks(ctx context.Context, claim *v1alpha1.PartitionClaim, p pkey.PKey) (names []string, err error) {
	var errs []error
	seen := map[string]bool{}
	for _, n := range claim.Spec.Networks {
		name := copyOf(claim, n).Name
		if seen[name] {
			errs = append(errs, refused("two of spec.networks come to the name %s: make another claim, in which spec.networks[].name tells them apart", name))
			continue
		}
		seen[name] = true
		stands, err := r.network(ctx, claim, n, p)
		if stands {
			names = append(names, name)
		}
		errs = append(errs, err)
	}
	return names, errors.Join(errs...)
}

// network brings one copy to where it should be. It stands when pods can name it, also
// where its source cannot be followed any more.
func (r *Reconciler) network(ctx context.Context, claim *v1alpha1.PartitionClaim, n v1alpha1.ClaimNetwork, p pkey.PKey) (stands bool, err error) {
	name := copyOf(claim, n)
	now, err := r.nad(ctx, name)
	switch {
	case err != nil:
		return false, err
	case now != nil && !owns(claim.UID, now):
		return false, refused("network %s is there already and is not this claim's, and is left alone: delete it, or make another claim, in which spec.networks[].name is another", name)
	}
	want, err := r.wanted(ctx, claim, n, p)
	switch {
	case err != nil && now != nil:
		return true, fmt.Errorf("%w; until then network %s stays as it is", err, name.Name)
	case err != nil:
		return false, err
	case now == nil:
		return r.create(ctx, want)
	}
	return true, r.follow(ctx, claim, now, want)
}

// wanted is the copy as it should be.
func (r *Reconciler) wanted(ctx context.Context, claim *v1alpha1.PartitionClaim, n v1alpha1.ClaimNetwork, p pkey.PKey) (*nadv1.NetworkAttachmentDefinition, error) {
	from := sourceOf(claim.Namespace, n)
	// Before it is read: whether it exists is not for this tenant to learn.
	if from.Namespace != claim.Namespace && !slices.Contains(r.cfg.Sources, from.Namespace) {
		return nil, refused("claims may not copy networks of namespace %s: name one of namespace %s, or have an administrator add the other to the controller's --claim-sources-from", from.Namespace, claim.Namespace)
	}
	source, err := r.nad(ctx, from)
	switch {
	case err != nil:
		return nil, err
	case source == nil:
		return nil, refused("network %s does not exist: create it, or make another claim, which names one that is there", from)
	case ownerOf(source) != nil:
		return nil, refused("network %s is a claim's own: make another claim, which names the network that it was copied from", from)
	case !r.cfg.Mine.Matches(labels.Set(source.Labels)):
		return nil, refused("network %s is not of this fabric, whose networks have the labels %s: make another claim, which names one of them", from, r.cfg.Mine)
	}
	return copied(claim, source, copyOf(claim, n).Name, p)
}

// copied is a NAD that says what source says, with the claim's PKey in the place of the
// source's own partition.
func copied(claim *v1alpha1.PartitionClaim, source *nadv1.NetworkAttachmentDefinition, name string, p pkey.PKey) (*nadv1.NetworkAttachmentDefinition, error) {
	from := client.ObjectKeyFromObject(source)
	config, err := setPKey(source.Spec.Config, p)
	if err != nil {
		// What cannot be read at all has a better reason than that it has no plugin.
		if _, unread := attach.ParseNetwork(from, source.Spec.Config, nil); unread != nil {
			return nil, refused("%w", unread)
		}
		return nil, refused("network %s: %w", from, err)
	}
	yes := true
	out := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{
		Namespace: claim.Namespace, Name: name, Labels: maps.Clone(source.Labels), Annotations: maps.Clone(source.Annotations),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion().String(), Kind: kind, Name: claim.Name, UID: claim.UID, Controller: &yes,
		}},
	}}
	delete(out.Annotations, lastApplied)
	delete(out.Annotations, attach.PartitionAnnotation)
	out.Spec.Config = config
	// The judge is who reads it for pods, not who wrote it.
	n, err := attach.ParseNetwork(from, config, out.Annotations)
	if err != nil {
		return nil, refused("%w", err)
	}
	if !n.InfiniBand || len(n.Claims) == 0 || n.Claims[0].PKey != p {
		return nil, refused("network %s cannot be given a pkey: write its config anew, with one %s plugin", from, attach.CNIType)
	}
	return out, nil
}

// nad reads one from the cache, to be read alone; nil is none.
func (r *Reconciler) nad(ctx context.Context, name types.NamespacedName) (*nadv1.NetworkAttachmentDefinition, error) {
	var nad nadv1.NetworkAttachmentDefinition
	err := r.deps.Cache.Get(ctx, name, &nad, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read network %s from the cache: %w", name, err)
	}
	return &nad, nil
}

func (r *Reconciler) create(ctx context.Context, want *nadv1.NetworkAttachmentDefinition) (stands bool, err error) {
	name := client.ObjectKeyFromObject(want)
	switch err := r.deps.Client.Create(ctx, want); {
	case err == nil:
		return true, nil
	case apierrors.IsAlreadyExists(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return false, nil // the cache is behind, and what it gets brings the claim back
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return false, refused("make network %s: %w", name, err)
	default:
		return false, fmt.Errorf("make network %s: %w", name, err)
	}
}

// follow makes the copy what it should be. Labels that others put on it stay.
func (r *Reconciler) follow(ctx context.Context, claim *v1alpha1.PartitionClaim, now, want *nadv1.NetworkAttachmentDefinition) error {
	m := now.DeepCopy()
	m.Annotations, m.Spec.Config = want.Annotations, want.Spec.Config
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	maps.Copy(m.Labels, want.Labels)
	if maps.Equal(m.Annotations, now.Annotations) && maps.Equal(m.Labels, now.Labels) && m.Spec.Config == now.Spec.Config {
		return nil
	}
	name := client.ObjectKeyFromObject(now)
	patch := client.MergeFromWithOptions(now.DeepCopy(), client.MergeFromWithOptimisticLock{})
	switch err := r.deps.Client.Patch(ctx, m, patch); {
	case err == nil:
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil // the cache is behind, and what it gets brings the claim back
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return refused("change network %s: %w", name, err)
	default:
		return fmt.Errorf("change network %s: %w", name, err)
	}
	r.deps.Record.Tell(claim, record.ClaimFollowed, record.Fields{
		UID: claim.UID, Detail: fmt.Sprintf("claim %s: network %s is again as what it was copied from, with the claim's pkey; live pods keep what they have", client.ObjectKeyFromObject(claim), name.Name),
	})
	return nil
}

// clear deletes the networks of a claim, and reports whether the cache shows them gone:
// who looks at pods reads the same cache.
func (r *Reconciler) clear(ctx context.Context, namespace string, uid types.UID) (gone bool, err error) {
	var list nadv1.NetworkAttachmentDefinitionList
	if err := r.deps.Cache.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list networks of %s from the cache: %w", namespace, err)
	}
	gone = true
	for i := range list.Items {
		nad := &list.Items[i]
		if !owns(uid, nad) {
			continue
		}
		gone = false
		if !nad.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.deps.Client.Delete(ctx, nad.DeepCopy(), client.Preconditions{UID: &nad.UID}); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete network %s/%s: %w", nad.Namespace, nad.Name, err)
		}
	}
	return gone, nil
}

package multus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
)

// make creates the NAD of a config, or mends it. One that is as it should be is not
// written.
func (r *Reconciler) make(ctx context.Context, c reading) error {
	name := client.ObjectKeyFromObject(c.nad)
	var now nadv1.NetworkAttachmentDefinition
	err := r.Cache.Get(ctx, name, &now, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return r.create(ctx, c)
	case err != nil:
		return fmt.Errorf("read network %s from the cache: %w", name, err)
	case ownerOf(&now) != c.Config.Name.Name:
		return fmt.Errorf("network %s: %w: delete it, or give the config another name by %s", name.Name, errForeign, NADNameAnnotation)
	}
	mended := mend(&now, c.nad)
	if mended == nil {
		return nil
	}
	if err := r.pace.due(c.Config.Name, c.nad, r.Now()); err != nil {
		return fmt.Errorf("change network %s: %w", name, err)
	}
	// The version makes sure that nothing is written over that was not looked at.
	patch := client.MergeFromWithOptions(&now, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, mended, patch); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // the cache is behind, and what it gets brings this back
		}
		return fmt.Errorf("change network %s: %w", name, err)
	}
	r.pace.wrote(c.Config.Name, c.nad, r.Now())
	r.Record.Log(record.NetworkChanged, record.Fields{Config: c.Config.Name, Detail: "network " + name.String()})
	return nil
}

func (r *Reconciler) create(ctx context.Context, c reading) error {
	name := client.ObjectKeyFromObject(c.nad)
	if err := r.pace.due(c.Config.Name, c.nad, r.Now()); err != nil {
		return fmt.Errorf("create network %s: %w", name, err)
	}
	err := r.Client.Create(ctx, c.nad.DeepCopy())
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil // the cache is behind, and what it gets brings this back
	case err != nil:
		return fmt.Errorf("create network %s: %w", name, err)
	}
	r.pace.wrote(c.Config.Name, c.nad, r.Now())
	r.Record.Log(record.NetworkMade, record.Fields{Config: c.Config.Name, Detail: "network " + name.String()})
	return nil
}

// owned are the NADs that were made of a config. They are the cache's: to be read.
func (r *Reconciler) owned(ctx context.Context, key types.NamespacedName) ([]nadv1.NetworkAttachmentDefinition, error) {
	var list nadv1.NetworkAttachmentDefinitionList
	if err := r.Cache.List(ctx, &list, client.InNamespace(key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list networks of %s from the cache: %w", key.Namespace, err)
	}
	return slices.DeleteFunc(list.Items, func(nad nadv1.NetworkAttachmentDefinition) bool { return ownerOf(&nad) != key.Name }), nil
}

// clear deletes the NADs of a config that is gone. The API server is asked once more: a
// cache that is behind may not have seen the config yet.
func (r *Reconciler) clear(ctx context.Context, key types.NamespacedName) error {
	if nads, err := r.owned(ctx, key); err != nil || len(nads) == 0 {
		return err
	}
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(APIVersion)
	u.SetKind(Kind)
	err := r.Client.Get(ctx, key, u)
	if err == nil {
		return nil // the event that brings it is on its way
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("see whether %s %s is gone: %w", Kind, key, err)
	}
	return r.deleteOthers(ctx, key, "")
}

// deleteOthers deletes the NADs of a config but the one that it makes now.
func (r *Reconciler) deleteOthers(ctx context.Context, key types.NamespacedName, keep string) error {
	nads, err := r.owned(ctx, key)
	if err != nil {
		return err
	}
	for i := range nads {
		nad := &nads[i]
		if nad.Name == keep || nad.DeletionTimestamp != nil {
			continue
		}
		err := r.Client.Delete(ctx, nad.DeepCopy(), client.Preconditions{UID: &nad.UID, ResourceVersion: &nad.ResourceVersion})
		switch {
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
			continue // the cache is behind, and what it gets brings this back
		case err != nil:
			return fmt.Errorf("delete network %s/%s: %w", nad.Namespace, nad.Name, err)
		}
		r.Record.Log(record.NetworkDeleted, record.Fields{Config: key, Detail: "network " + client.ObjectKeyFromObject(nad).String()})
	}
	return nil
}

// mend is now as want says, nil when it is so already. Annotations are exactly the
// config's, since they say what the network joins. Labels that others put on a NAD stay:
// a fabric may be chosen by them, and Spiderpool's NADs have no others.
func mend(now, want *nadv1.NetworkAttachmentDefinition) *nadv1.NetworkAttachmentDefinition {
	m := now.DeepCopy()
	m.Annotations = maps.Clone(want.Annotations)
	if v, ok := now.Annotations[lastApplied]; ok {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[lastApplied] = v
	}
	for key := range strings.SplitSeq(now.Annotations[labelsAnnotation], ",") {
		delete(m.Labels, key)
	}
	if m.Labels == nil && len(want.Labels) > 0 {
		m.Labels = map[string]string{}
	}
	maps.Copy(m.Labels, want.Labels)
	own := want.OwnerReferences[0]
	for i := range m.OwnerReferences {
		if ref := &m.OwnerReferences[i]; ref.Controller != nil && *ref.Controller && !sameOwner(*ref, own) {
			*ref = own
		}
	}
	if !sameConfig(now.Spec.Config, want.Spec.Config) {
		m.Spec.Config = want.Spec.Config
	}
	if sameMeta(&now.ObjectMeta, &m.ObjectMeta) && now.Spec.Config == m.Spec.Config {
		return nil
	}
	return m
}

func sameMeta(a, b *metav1.ObjectMeta) bool {
	return maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Labels, b.Labels) && reflect.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// sameOwner leaves open how an owner that goes is waited for: that is its maker's choice.
func sameOwner(a, b metav1.OwnerReference) bool {
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID
}

// sameConfig reports whether two configurations say the same in whatever order of their
// keys, which differs between the versions of Spiderpool. A doubled key, of which two
// readers may see two values, makes one longer.
func sameConfig(a, b string) bool {
	if a == b {
		return true
	}
	plain := func(text string) (value any, length int) {
		var short bytes.Buffer
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if json.Compact(&short, []byte(text)) != nil || d.Decode(&value) != nil {
			return nil, -1
		}
		return value, short.Len()
	}
	x, m := plain(a)
	y, n := plain(b)
	return m == n && m > 0 && reflect.DeepEqual(x, y)
}

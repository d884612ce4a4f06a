package multus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
)

// atATime is how many NADs are written at a time.
const atATime = 4

// Reconciler keeps the NADs of a cluster as its SpiderMultusConfigs say, one for each. It
// works on the leader, and only where Spiderpool's own controller does not run.
//
// A NAD is a config's when its controller reference says so; every other stays as it is,
// whatever its name. NADs whose config is gone, or names them otherwise now, are deleted
// here: the cluster's garbage collection would do the first too, and not the second.
type Reconciler struct {
	Configs    *Configs
	Spiderpool *Spiderpool
	Cache      cache.Cache   // of NADs, and of what nodes offer
	Client     client.Client // direct
	Record     *record.Recorder
	Now        func() time.Time

	said said
	pace pace
}

// NeedLeaderElection says that only the leader writes NADs.
func (r *Reconciler) NeedLeaderElection() bool { return true }

// Start works until ctx ends.
func (r *Reconciler) Start(ctx context.Context) error {
	w := &worker{queue: newQueue("spidermultusconfigs"), record: r.Record}
	w.do = func(ctx context.Context, key types.NamespacedName) error {
		if key == everything() {
			return r.allOwners(ctx, w.queue)
		}
		return r.sync(ctx, key)
	}
	nads, err := r.Cache.GetInformer(ctx, &nadv1.NetworkAttachmentDefinition{})
	if err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	look := func(obj any) { r.enqueue(w.queue, obj) }
	handler, err := nads.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(was, now any) { look(was); look(now) }, DeleteFunc: look,
	})
	if err != nil {
		return fmt.Errorf("watch networks: %w", err)
	}
	defer func() { _ = nads.RemoveEventHandler(handler) }() // there is none left in an informer that stopped
	defer r.Spiderpool.follow(r.sayWhose)()
	if !toolscache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil
	}
	defer r.Configs.follow(w.queue.Add)()
	w.run(ctx, atATime)
	return nil
}

// sayWhose says that Spiderpool makes the networks, and that it no longer does.
func (r *Reconciler) sayWhose() {
	var nobody types.NamespacedName
	switch where := r.Spiderpool.Controller(); {
	case where != "":
		if r.said.once(nobody, record.SpiderpoolFound, where) {
			r.Record.Log(record.SpiderpoolFound, record.Fields{Detail: where + " makes the networks of SpiderMultusConfigs and injects them; none is touched here. To have ibfabric do it, scale that to 0"})
		}
	case r.said.has(nobody, record.SpiderpoolFound):
		r.said.forget(nobody, record.SpiderpoolFound)
		r.Record.Log(record.SpiderpoolGone, record.Fields{Detail: "networks that are as their SpiderMultusConfigs say stay as they are"})
	}
}

// enqueue looks at the config that has a NAD, and at those that would have it.
func (r *Reconciler) enqueue(q queue, obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	nad, ok := obj.(*nadv1.NetworkAttachmentDefinition)
	if !ok {
		return
	}
	if name := ownerOf(nad); name != "" {
		q.Add(types.NamespacedName{Namespace: nad.Namespace, Name: name})
	}
	for _, key := range r.Configs.wanting(client.ObjectKeyFromObject(nad)) {
		q.Add(key)
	}
}

// allOwners looks at the configs of all NADs: one may have gone while nobody looked.
func (r *Reconciler) allOwners(ctx context.Context, q queue) error {
	var all nadv1.NetworkAttachmentDefinitionList
	if err := r.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list networks from the cache: %w", err)
	}
	for i := range all.Items {
		r.enqueue(q, &all.Items[i])
	}
	return nil
}

// sync makes what comes of one config the state of the cluster. Where it may not work the
// key is dropped: Configs brings all of them again when that changes.
func (r *Reconciler) sync(ctx context.Context, key types.NamespacedName) error {
	if !r.Configs.ready() {
		return nil
	}
	c, ok := r.Configs.get(key)
	switch {
	case !ok:
		r.said.forget(key, record.ConfigRefused, record.ConfigWarned)
		r.pace.forget(key)
		return r.clear(ctx, key)
	case c.object.GetDeletionTimestamp() != nil:
		return nil // what it has goes first, and must not be made again
	case c.Err != nil:
		r.refuse(c, r.kept(ctx, key, c.Err))
		return nil
	}
	r.warn(ctx, c)
	if err := r.make(ctx, c); err != nil {
		return r.blocked(c, err)
	}
	r.said.forget(key, record.ConfigRefused)
	return r.deleteOthers(ctx, key, c.nad.Name)
}

// errForeign says that a NAD of that name stands in the way.
var errForeign = errors.New("a network of that name is there already, and is not of this SpiderMultusConfig; it is left alone")

// blocked tells the author what only a person can mend. What may mend itself is an error,
// to try again: with a grant of its partition a NAD may pass admission later.
func (r *Reconciler) blocked(c reading, err error) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // and the config goes with its namespace
	case errors.Is(err, errForeign):
		r.refuse(c, err)
		return nil // an event of that NAD brings it back
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		r.refuse(c, err)
	}
	return err
}

// kept adds what becomes of the NADs that were made before: pods live on them.
func (r *Reconciler) kept(ctx context.Context, key types.NamespacedName, err error) error {
	var names []string
	nads, listErr := r.owned(ctx, key)
	for _, nad := range nads {
		names = append(names, nad.Name)
	}
	if len(names) == 0 || listErr != nil {
		return fmt.Errorf("%w; until then no network comes of it", err)
	}
	return fmt.Errorf("%w; until then network %s stays as it was made before", err, strings.Join(names, ", "))
}

func (r *Reconciler) refuse(c reading, err error) {
	if r.said.once(c.Config.Name, record.ConfigRefused, err.Error()) {
		r.Record.Tell(about(c), record.ConfigRefused, record.Fields{Config: c.Config.Name, UID: c.Config.UID, Err: err})
	}
}

// warn tells of what has no effect, or another one than it seems to have.
func (r *Reconciler) warn(ctx context.Context, c reading) {
	all := slices.Clone(c.Config.Warnings)
	if text := r.unoffered(ctx, c.Config.Resource()); text != "" {
		all = append(all, text)
	}
	if r.pace.contested(c.Config.Name, c.nad, r.Now()) {
		all = append(all, "somebody else changes network "+c.nad.Name+" each time that it was set right, so that this happens ever more seldom: find out who (kubectl get net-attach-def "+c.nad.Name+" -o yaml --show-managed-fields) and have them leave it alone")
	}
	text := strings.Join(all, "; ")
	if text == "" {
		r.said.forget(c.Config.Name, record.ConfigWarned)
		return
	}
	if r.said.once(c.Config.Name, record.ConfigWarned, text) {
		r.Record.Tell(about(c), record.ConfigWarned, record.Fields{Config: c.Config.Name, UID: c.Config.UID, Detail: text})
	}
}

// unoffered says that no node has a resource, whose pods the scheduler would keep waiting
// without a word of the network. A device plugin may come later: it is no refusal.
func (r *Reconciler) unoffered(ctx context.Context, resource string) string {
	var nodes corev1.NodeList
	if resource == "" || r.Cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy) != nil || len(nodes.Items) == 0 {
		return ""
	}
	for i := range nodes.Items {
		if n, ok := nodes.Items[i].Status.Allocatable[corev1.ResourceName(resource)]; ok && !n.IsZero() {
			return ""
		}
	}
	return fmt.Sprintf("no node offers %s yet, and pods on this network stay Pending until one does: correct the name, or see to the device plugin that is to offer it", clip(resource))
}

// about is what a Kubernetes Event refers to.
func about(c reading) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(APIVersion)
	u.SetKind(Kind)
	u.SetNamespace(c.Config.Name.Namespace)
	u.SetName(c.Config.Name.Name)
	u.SetUID(c.Config.UID)
	return u
}

// ownerOf is the name of the config that a NAD was made of, "" for none.
func ownerOf(nad *nadv1.NetworkAttachmentDefinition) string {
	if ref := metav1.GetControllerOf(nad); ref != nil && ref.Kind == Kind && strings.HasPrefix(ref.APIVersion, GVR().Group+"/") {
		return ref.Name
	}
	return ""
}

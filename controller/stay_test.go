package controller

import (
	"context"
	"errors"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// nadsOnly is a cache in which every NAD exists, and no node.
type nadsOnly struct{ cache.Cache }

func (nadsOnly) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	nad, ok := into.(*nadv1.NetworkAttachmentDefinition)
	if !ok {
		return errors.New("there is none")
	}
	nad.Namespace, nad.Name, nad.ResourceVersion = key.Namespace, key.Name, "1"
	return nil
}

// deafAPI is an API server that takes nothing.
type deafAPI struct{ client.Client }

func (deafAPI) Create(context.Context, client.Object, ...client.CreateOption) error { return errDeaf }
func (deafAPI) Update(context.Context, client.Object, ...client.UpdateOption) error { return errDeaf }

var errDeaf = errors.New("it takes nothing")

// knows lets a network say something, whatever its NAD would.
func (d desk) knows(name, version string, net attach.Network) {
	d.cache = nadsOnly{}
	d.networks.by[types.NamespacedName{Namespace: "ns", Name: name}] = networkReading{version: version, ours: true, net: net}
}

// shown puts a pod into the cache, as the watch would.
func (d desk) shown(pod *corev1.Pod) types.NamespacedName {
	d.t.Helper()
	slim, err := stripPod(pod)
	if err == nil {
		err = d.podCache.informer.GetStore().Add(slim)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return keyOf(pod)
}

// isFull reports whether the one entry that a node has beside the default PKey's is taken
// by somebody other than 0x5.
func (d desk) isFull() bool {
	other := types.UID("other")
	defer d.budget.Gone(other)
	return !d.budget.Land(other, []pkey.PKey{0x6})
}

// Each way that a pod can end gives back the entry of its node's table.
func TestAPodThatEndedIsNotCounted(t *testing.T) {
	gone := func(d desk, r ledger.Row) { d.letGo(d.t.Context(), r.UID) }
	out := func(d desk, r ledger.Row) {
		gone(d, r)
		err := d.hold(d.t.Context(), d.ledger.Out(5, []guid.GUID{r.GUID}, d.now()))
		if !errors.Is(err, errDeaf) {
			d.t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		policy SyncPolicy
		edit   func(*ledger.Row)
		ends   func(desk, ledger.Row)
		counts bool
	}{
		"on a node, and UFM may still have it":  {ends: gone, counts: true},
		"on a node, and out of UFM":             {ends: out},
		"on a node, before its row was stored":  {edit: func(r *ledger.Row) { r.Sent, r.Told = false, false }, ends: gone},
		"without a node":                        {edit: func(r *ledger.Row) { r.Node = "" }, ends: gone},
		"on a node, where UFM never lets it go": {policy: AddOnly, ends: gone},
		"nobody knows where":                    {edit: func(r *ledger.Row) { r.Node = ledger.UnknownNode }, ends: gone, counts: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.cache, d.budget, d.cfg.Policy, d.store.Client = nadsOnly{}, budget.New(2), Sync, deafAPI{}
			if tc.policy != "" {
				d.cfg.Policy = tc.policy
			}
			r := rowIn(1, "a", 5)
			r.Node = "n1"
			if tc.edit != nil {
				tc.edit(&r)
			}
			d.row(r)
			if r.Node != "" {
				d.budget.Bound(r.UID, pkeysOf([]ledger.Row{r}), r.Node)
			} else {
				d.budget.LetGo(r.UID, pkeysOf([]ledger.Row{r}))
			}
			if !d.isFull() {
				t.Fatal("it was never counted")
			}
			tc.ends(d, r)
			if d.isFull() != tc.counts {
				t.Errorf("it counts: %t", !tc.counts)
			}
			d.budget.Gone(r.UID)
			if err := d.countStays(); err != nil {
				t.Fatal(err)
			}
			if d.isFull() != (tc.counts && r.Node != ledger.UnknownNode) {
				t.Errorf("for the next leader it counts: %t", d.isFull())
			}
		})
	}
}

func TestAPodThatCameToItsNodeCountsThereWhateverItsNetworkSaysByNow(t *testing.T) {
	d := newDesk(t)
	d.budget = budget.New(2)
	d.knows("rail1", "1", attach.Network{Claims: []attach.Claim{{PKey: 0x7fff}}}) // outside the scope: refused
	d.row(rowIn(1, "a", 5))
	pod := podNamed("a")
	pod.Annotations = map[string]string{attach.NetworksAnnotation: "rail1"}
	key := d.shown(pod)
	if _, err := d.syncPod(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if avoid, ok := d.budget.Choose("b", []pkey.PKey{0x6}, []string{"n1", "n2"}); ok {
		t.Fatalf("it may come anywhere, and another is let go, away from %v", avoid)
	}
	pod.Spec.NodeName = "n1"
	d.shown(pod)
	if _, err := d.syncPod(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if avoid, ok := d.budget.Choose("b", []pkey.PKey{0x6}, []string{"n1", "n2"}); !ok || len(avoid) != 1 || avoid[0] != "n1" {
		t.Errorf("another avoids %v, ok %t", avoid, ok)
	}
}

// otherPods is an API server where pods are others than the cache shows: it refuses patches.
type otherPods struct{ client.Client }

func (otherPods) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "a", nil)
}

func (otherPods) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	into.SetResourceVersion("2")
	return nil
}

func TestAPodThatStaysAtItsGateCountsNowhere(t *testing.T) {
	d := newDesk(t)
	d.budget, d.client = budget.New(2), otherPods{}
	pod := podNamed("a")
	pod.Annotations = map[string]string{attach.NetworksAnnotation: "rail1"}
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: d.cfg.Gate()}}
	if err := d.release(t.Context(), pod, wishes{ours: wantsIn(5, 1)}, []ledger.Row{d.row(rowIn(1, "a", 5))}); !errors.Is(err, errStale) {
		t.Fatalf("its patch comes to %v", err)
	}
	if d.isFull() {
		t.Error("it takes up an entry on every node")
	}
}

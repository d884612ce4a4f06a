package claim

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/record"
)

// cluster is an API server and its cache in one, with a webhook that refuses a number of
// networks. Of either only the methods are there that these tests come to.
type cluster struct {
	objects map[string]client.Object
	refuse  int
}

type (
	reads struct {
		cache.Cache
		*cluster
	}
	writes struct {
		client.Client
		*cluster
	}
	statuses struct {
		client.SubResourceWriter
		*cluster
	}
)

func at(key types.NamespacedName, o any) string { return reflect.TypeOf(o).String() + key.String() }

func (c *cluster) put(o client.Object) {
	c.objects[at(client.ObjectKeyFromObject(o), o)] = o.DeepCopyObject().(client.Object)
}

func (r reads) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	o, ok := r.objects[at(key, into)]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	text, err := json.Marshal(o)
	return errors.Join(err, json.Unmarshal(text, into))
}

func (reads) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func (w writes) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	if w.refuse > 0 {
		w.refuse--
		return apierrors.NewForbidden(schema.GroupResource{}, o.GetName(), errors.New("by a webhook"))
	}
	w.put(o)
	return nil
}

func (w writes) Status() client.SubResourceWriter { return statuses{cluster: w.cluster} }

func (s statuses) Update(_ context.Context, o client.Object, _ ...client.SubResourceUpdateOption) error {
	s.put(o)
	return nil
}

// provided plays what the queue does with a claim, so many times.
func provided(t *testing.T, refusals, times int) (reason string) {
	t.Helper()
	c := &cluster{objects: map[string]client.Object{}, refuse: refusals}
	claim := train()
	claim.Finalizers = []string{v1alpha1.FinalizerClaim}
	claim.Spec.Networks = []v1alpha1.ClaimNetwork{{From: "rail"}}
	p := part("True", "")
	p.Name, p.Status.PKey = partitionName(claim.UID), "0x1000"
	rail := source(`{"type":"ib-sriov"}`, nil)
	rail.Namespace, rail.Name = claim.Namespace, "rail"
	for _, o := range []client.Object{claim, p, rail} {
		c.put(o)
	}
	r := New(Config{Mine: labels.Everything()}, Deps{Cache: reads{cluster: c}, Client: writes{cluster: c}, Record: record.New(zap.NewNop(), nil), Now: time.Now})
	defer r.queue.ShutDown()
	r.queue.Add(client.ObjectKeyFromObject(claim))
	for range times {
		r.next(t.Context())
	}
	now := c.objects[at(client.ObjectKeyFromObject(claim), claim)].(*v1alpha1.PartitionClaim)
	for _, condition := range now.Status.Conditions {
		reason = condition.Reason
	}
	if _, made := c.objects[at(types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name + "-rail"}, &nadv1.NetworkAttachmentDefinition{})]; made != (reason == "Usable") {
		t.Errorf("the network is made: %t, and the claim is %s", made, reason)
	}
	return reason
}

func TestAClaimIsNotToldThatAWebhookWasAMomentBehind(t *testing.T) {
	for _, tc := range []struct {
		refusals, times int
		want            string
	}{
		{refusals: 1, times: 1, want: ""},
		{refusals: 1, times: 2, want: "Usable"},
		{refusals: 2, times: 2, want: reasonRefused},
		{refusals: 2, times: 3, want: "Usable"},
	} {
		if reason := provided(t, tc.refusals, tc.times); reason != tc.want {
			t.Errorf("after %d refusals and %d tries the claim says %q, want %q", tc.refusals, tc.times, reason, tc.want)
		}
	}
}

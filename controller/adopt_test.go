package controller

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// apiOfPods is an API server that is only asked for pods.
type apiOfPods struct {
	client.Client // nobody else is asked
	pods          map[types.NamespacedName]corev1.Pod
}

func (a apiOfPods) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	pod, ok := a.pods[key]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, key.Name)
	}
	*into.(*corev1.Pod) = pod
	return nil
}

// TestADeadPodsRowGivesWayOnlyToAPodThatReallyGotItsGUID: an annotation alone may be a
// copy, and the former pod's containers may still run on a lost node.
func TestADeadPodsRowGivesWayOnlyToAPodThatReallyGotItsGUID(t *testing.T) {
	const g, p = 0x0200000000000001, pkey.PKey(0x10)
	for name, tc := range map[string]struct {
		state  ledger.State
		former *corev1.Pod // as the API server has it now
		phase  corev1.PodPhase
		guids  bool // the network has no partition
		shown  bool
		gives  bool
	}{
		"it runs, and UFM shows it":                {state: ledger.Assigned, phase: corev1.PodRunning, shown: true, gives: true},
		"it waits, and UFM shows its predecessor":  {state: ledger.Assigned, phase: corev1.PodPending, shown: true},
		"it runs, and UFM does not show it":        {state: ledger.Assigned, phase: corev1.PodRunning},
		"it waits, and UFM shows what was out":     {state: ledger.Held, phase: corev1.PodPending, shown: true, gives: true},
		"it waits, and UFM shows what is held out": {state: ledger.Held, phase: corev1.PodPending},
		"it runs without a partition":              {state: ledger.Held, phase: corev1.PodRunning, guids: true, gives: true},
		"it waits without a partition":             {state: ledger.Held, phase: corev1.PodPending, guids: true},
		"the former pod lives":                     {state: ledger.Assigned, former: podOf("old", corev1.PodRunning), phase: corev1.PodRunning, shown: true},
		"the former pod is finished":               {state: ledger.Assigned, former: podOf("old", corev1.PodFailed), phase: corev1.PodRunning, shown: true, gives: true},
		"the former pod's name lives":              {state: ledger.Assigned, former: podOf("other", corev1.PodRunning), phase: corev1.PodRunning, shown: true, gives: true},
	} {
		former := types.NamespacedName{Namespace: "team", Name: "train-0"}
		api := apiOfPods{pods: map[types.NamespacedName]corev1.Pod{}}
		if tc.former != nil {
			api.pods[former] = *tc.former
		}
		c := &Controller{ledger: ledger.New(), view: newView(false), client: api, now: time.Now}
		row := ledger.Row{GUID: g, Pod: former, UID: "old", Interface: "net1", State: tc.state}
		mine := ledger.Row{GUID: g, UID: "new", Interface: "net1"}
		if !tc.guids {
			row.Claims = []attach.Claim{{PKey: p}}
			mine.Claims = row.Claims
		}
		c.ledger.Put(row)
		if tc.shown {
			c.view.added(p, pkey.Batch{GUIDs: []guid.GUID{g}}, "ufm")
		}
		if err := c.vacate(t.Context(), g, []claim{{podOf("new", tc.phase), mine}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, stays := c.ledger.Get(g); stays == tc.gives {
			t.Errorf("%s: the row of the former pod stays: %v", name, stays)
		}
	}
}

func podOf(uid types.UID, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}, Status: corev1.PodStatus{Phase: phase}}
}

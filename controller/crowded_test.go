package controller

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/pkey"
)

// nodesOnly is a cache of nodes.
type nodesOnly struct {
	cache.Cache
	nodes *[]corev1.Node
}

func (n nodesOnly) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	list, ok := into.(*corev1.NodeList)
	if !ok {
		return errors.New("there is none")
	}
	list.Items = *n.nodes
	return nil
}

// countingAPI is an API server that has every pod, and counts who asks.
type countingAPI struct {
	client.Client
	asked *int
}

func (a countingAPI) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	*a.asked++
	pod, ok := into.(*corev1.Pod)
	if !ok {
		return errors.New("there is none")
	}
	*pod = *gpuPod(key.Name)
	pod.ResourceVersion = "2"
	return nil
}

// gpuPod stands at the gate and needs a card.
func gpuPod(name string) *corev1.Pod {
	pod := podNamed(name)
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "ibfabric.io/default"}}
	pod.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		"cpu": resource.MustParse("1"), "x/vf": resource.MustParse("1"),
	}}}}
	return pod
}

func nodeWith(name string, vfs string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	if vfs != "" {
		n.Status.Allocatable = corev1.ResourceList{"x/vf": resource.MustParse(vfs)}
	}
	return n
}

// Thousands may wait for days: who cannot go costs the API server nothing, and is woken by
// whatever may help.
func TestAPodThatWaitsForANodeWithRoomAsksNobodyAndIsWoken(t *testing.T) {
	d := newDesk(t)
	asked, nodes := 0, []corev1.Node{nodeWith("full", "4"), nodeWith("no-card", "")}
	d.cache, d.client, d.budget = nodesOnly{nodes: &nodes}, countingAPI{asked: &asked}, budget.New(2)
	d.budget.Bound("other", []pkey.PKey{6}, "full")
	pod, err := d.getPod(d.shown(gpuPod("a")))
	if err != nil {
		t.Fatal(err)
	}
	rows := []ledger.Row{d.row(rowIn(1, "a", 5))}
	for range 3 {
		if ops, waits, err := d.place(t.Context(), pod, rows); len(ops) > 0 || !waits || err != nil {
			t.Fatalf("%v, waits %t, %v", ops, waits, err)
		}
	}
	if asked != 0 || d.mail.n != 1 {
		t.Errorf("the API server was asked %d times, the pod told %d times", asked, d.mail.n)
	}

	h := d.nodeHandler()
	beats := nodes[0]
	beats.ResourceVersion = "9"
	h.UpdateFunc(&nodes[0], &beats)
	if got := d.woken(); len(got) > 0 {
		t.Errorf("a node's heartbeat wakes %v", got)
	}
	carded := nodeWith("no-card", "4")
	h.UpdateFunc(&nodes[1], &carded)
	if got := d.woken(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("a node that has a card now wakes %v", got)
	}
	nodes[1] = carded
	ops, waits, err := d.place(t.Context(), pod, rows)
	if len(ops) != 2 || waits || err != nil || asked != 1 {
		t.Errorf("it gets %v, waits %t, %v, and the API server was asked %d times", ops, waits, err, asked)
	}
	added := nodeWith("new", "4")
	d.crowded.add(keyOf(pod))
	h.AddFunc(&added)
	if got := d.woken(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("a new node wakes %v", got)
	}
}

func TestAPodAtTheGateThatToleratesMoreIsLookedAtAgain(t *testing.T) {
	d := newDesk(t)
	before := gpuPod("a")
	after := gpuPod("a")
	after.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if podMoved(before, before.DeepCopy()) || !podMoved(before, after) {
		t.Error("what it tolerates counts not, or nothing at all does")
	}
	kept, err := d.getPod(d.shown(after))
	if err != nil || len(kept.Spec.Tolerations) != 1 || len(kept.Spec.Containers) != 1 {
		t.Errorf("of it is kept %+v, %v", kept, err)
	}
}

package controller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestThePKeyWithTheLongestWaitingPodComesFirst(t *testing.T) {
	now := time.Unix(1000, 0)
	waits := newPending()
	pod := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: name} }
	o := newOldestFirst(func() time.Time { return now }, waits.oldest)
	waits.add(pod("b"), []pkey.PKey{0x2}, now.Add(-time.Second), now)
	waits.add(pod("a"), []pkey.PKey{0x3, 0x2}, now.Add(-time.Minute), now)
	waits.add(pod("a"), []pkey.PKey{0x3}, now.Add(-time.Minute), now)
	for _, p := range []pkey.PKey{0x1, 0x2, 0x3} { // nobody waits for 0x1
		o.Push(p)
	}
	var got []pkey.PKey
	for o.Len() > 0 {
		got = append(got, o.Pop())
	}
	if want := []pkey.PKey{0x3, 0x2, 0x1}; !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
	o.Push(0x1)
	now = now.Add(time.Hour)
	waits.forget(pod("b"))
	waits.add(pod("c"), []pkey.PKey{0x2}, now, now)
	o.Push(0x2)
	if got := o.Pop(); got != 0x1 {
		t.Error("a partition that nobody waits for never gets its turn")
	}
}

func TestAPodThatItsPartitionCannotHelpStarvesNoOther(t *testing.T) {
	now := time.Unix(1000, 0)
	waits := newPending()
	o := newOldestFirst(func() time.Time { return now }, waits.oldest)
	waits.add(types.NamespacedName{Name: "stuck"}, []pkey.PKey{0x1}, now.Add(-time.Hour), now)
	waits.add(types.NamespacedName{Name: "new"}, []pkey.PKey{0x2}, now.Add(-time.Second), now)
	o.Push(0x1)
	o.Push(0x2)
	first := o.Pop()
	o.Push(0x1) // dirty again as soon as its turn ends
	if second := o.Pop(); first != 0x1 || second != 0x2 {
		t.Errorf("the turns were %s and %s", first, second)
	}
}

func TestWhatAReadWasUnsureOfStaysUnclaimed(t *testing.T) {
	pool, err := guid.NewPool(guid.Range{First: 1, Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	u, at := newUnclaimed(), time.Unix(1000, 0)
	u.update(map[guid.GUID][]pkey.PKey{1: {5}}, nil, pool, at, time.Minute)
	for i := range 5 {
		u.update(map[guid.GUID][]pkey.PKey{}, map[pkey.PKey]bool{5: true}, pool, at.Add(time.Duration(i)*time.Minute), time.Minute)
	}
	if pool.Assign(guid.Owner{UID: "u", Interface: "net1"}, 1) == nil {
		t.Error("it was given out while nobody could see whether it is gone")
	}
}

func TestAPanicStopsNobody(t *testing.T) {
	q := newQueue[string]("test", nil)
	done := make(chan struct{})
	q.Add("bad")
	q.Add("good")
	var heard error
	go work(t.Context(), q, func(_ context.Context, key string) (time.Duration, error) {
		if key == "bad" {
			panic("hostile input")
		}
		return 0, nil
	}, func(key string, _ int, err error) {
		if key == "good" {
			close(done)
			return
		}
		heard = err
	})
	<-done
	if heard == nil || !strings.Contains(heard.Error(), "hostile input") {
		t.Errorf("of the panic was heard: %v", heard)
	}
	q.ShutDown()
}

// fakeLock is a lease in memory.
func TestAnUnclaimedGUIDIsKeptFromPodsUntilItIsGone(t *testing.T) {
	pool, err := guid.NewPool(guid.Range{First: 1, Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	u, at := newUnclaimed(), time.Unix(1000, 0)
	owner := guid.Owner{UID: "u", Interface: "net1"}
	u.update(map[guid.GUID][]pkey.PKey{1: {5}}, nil, pool, at, time.Minute)
	if _, err := pool.Allocate(owner); err == nil {
		t.Error("it was given out")
	}
	u.claim(pool, 1, []attach.Claim{{PKey: 6}})
	if pool.Assign(owner, 1) == nil {
		t.Error("a pod in another partition got it by asking")
	}
	u.update(map[guid.GUID][]pkey.PKey{}, nil, pool, at, time.Minute)
	if pool.Assign(owner, 1) == nil {
		t.Error("it was free at once")
	}
	u.update(map[guid.GUID][]pkey.PKey{}, nil, pool, at.Add(time.Minute), time.Minute)
	if err := pool.Assign(owner, 1); err != nil {
		t.Errorf("it never came back: %v", err)
	}
}

func TestAPinnedUnclaimedGUIDGoesToAPodOfItsPartitions(t *testing.T) {
	pool, err := guid.NewPool(guid.Range{First: 1, Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	u := newUnclaimed()
	u.update(map[guid.GUID][]pkey.PKey{1: {5}}, nil, pool, time.Now(), time.Minute)
	u.claim(pool, 1, []attach.Claim{{PKey: 5}, {PKey: 6}})
	if err := pool.Assign(guid.Owner{UID: "u", Interface: "net1"}, 1); err != nil {
		t.Error(err)
	}
}

func TestAPodIsStrippedToWhatIsRead(t *testing.T) {
	pod := &corev1.Pod{}
	pod.Name, pod.UID = "a", types.UID("u")
	pod.Annotations = map[string]string{attach.NetworksAnnotation: "rail1", "kubectl.kubernetes.io/last-applied-configuration": "{…}"}
	pod.Spec.Containers = []corev1.Container{{Name: "main"}}
	pod.Spec.NodeName = "n"
	out, err := stripPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	slim, err := asPod(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(slim.Spec.Containers) != 0 || len(slim.Annotations) != 1 || slim.Spec.NodeName != "n" {
		t.Errorf("%+v", slim)
	}
}

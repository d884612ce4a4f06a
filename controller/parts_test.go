package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

type refusal struct{ error }

func (refusal) Rejected() bool { return true }

func TestSplitLetsAllThroughButTheCulprits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		chunk := rapid.IntRange(1, 70).Draw(t, "chunk")
		bad := map[guid.GUID]bool{}
		for _, g := range rapid.SliceOfN(rapid.IntRange(1, n), 0, 4).Draw(t, "bad") {
			bad[guid.GUID(g)] = true
		}
		var all, through []guid.GUID
		for i := range n {
			all = append(all, guid.GUID(i+1))
		}
		refused, err := split(all, chunk, func(part []guid.GUID) error {
			for _, g := range part {
				if bad[g] {
					return fmt.Errorf("add: %w", refusal{errors.New("no such guid")})
				}
			}
			through = append(through, part...)
			return nil
		})
		if err != nil || len(refused)+len(through) != n {
			t.Fatalf("%d of %d went through, %d refused, %v", len(through), n, len(refused), err)
		}
		for g := range bad {
			if refused[g] == nil {
				t.Fatalf("%s went through", g)
			}
		}
		// The innocent are refused only beside two culprits that stood alone before anything
		// went through: that looks like a partition that is refused. It is tried again.
		if len(refused) > len(bad) && len(bad) < 2 {
			t.Fatalf("%d culprits, %d blamed, %d went through", len(bad), len(refused), len(through))
		}
	})
}

func TestSplitGivesUpOnAPartitionThatIsRefusedAsAWhole(t *testing.T) {
	var all []guid.GUID
	for i := range guid.GUID(1000) {
		all = append(all, i+1)
	}
	calls := 0
	refused, err := split(all, 1000, func([]guid.GUID) error {
		calls++
		return refusal{errors.New("no")}
	})
	if err != nil || len(refused) != 1000 || calls > 25 {
		t.Errorf("UFM was asked %d times, refused %d, %v", calls, len(refused), err)
	}
}

func TestSplitHasABudget(t *testing.T) {
	var all []guid.GUID
	for i := range guid.GUID(1000) {
		all = append(all, i+1)
	}
	refusals := 0
	_, err := split(all, 1000, func(part []guid.GUID) error {
		for _, g := range part {
			if g%3 != 0 {
				refusals++
				return refusal{errors.New("no")}
			}
		}
		return nil
	})
	if refusals > splitBudget || (err != nil && !errors.Is(err, errUntried)) {
		t.Errorf("UFM refused %d times, %v", refusals, err)
	}
}

func TestSplitStopsAtOtherErrors(t *testing.T) {
	down := errors.New("connection refused")
	calls := 0
	_, err := split(make([]guid.GUID, 10), 2, func([]guid.GUID) error { calls++; return down })
	if !errors.Is(err, down) || calls != 1 {
		t.Errorf("asked %d times, %v", calls, err)
	}
}

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
type fakeLock struct {
	record *resourcelock.LeaderElectionRecord
	me     string
	fail   error
}

func (f *fakeLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if f.record == nil {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "x")
	}
	return f.record, nil, nil
}

func (f *fakeLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return f.Update(ctx, r)
}

func (f *fakeLock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if f.fail == nil {
		f.record = &r
	}
	return f.fail
}
func (f *fakeLock) RecordEvent(string) {}
func (f *fakeLock) Identity() string   { return f.me }
func (f *fakeLock) Describe() string   { return "fake" }

func TestALeaseCountsFromTheMomentItsRenewalWasSent(t *testing.T) {
	now := time.Unix(1000, 0)
	lock := &fakeLock{me: "a"}
	l := &Lease{Interface: lock, Valid: 10 * time.Second, Now: func() time.Time { return now }}
	mine := resourcelock.LeaderElectionRecord{HolderIdentity: "a"}
	if l.Leading() == nil {
		t.Error("leads before it has the lease")
	}
	if err := l.Update(t.Context(), mine); err != nil || l.Leading() != nil {
		t.Errorf("does not lead: %v, %v", err, l.Leading())
	}
	now = now.Add(9 * time.Second)
	lock.fail = errors.New("API server away")
	_ = l.Update(t.Context(), mine)
	now = now.Add(time.Second)
	if !errors.Is(l.Leading(), ErrNotLeading) {
		t.Error("leads on a lease that was not renewed")
	}
}

func TestALeaseRemembersWhoMayStillWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		held *resourcelock.LeaderElectionRecord
		want string
	}{
		"nobody before":   {nil, ""},
		"let go cleanly":  {&resourcelock.LeaderElectionRecord{}, ""},
		"held by another": {&resourcelock.LeaderElectionRecord{HolderIdentity: "b"}, "b"},
	} {
		l := &Lease{Interface: &fakeLock{me: "a", record: tc.held}, Valid: time.Second, Now: time.Now}
		_, _, _ = l.Get(t.Context())
		if got := l.Former(); got != tc.want {
			t.Errorf("%s: the former leader is %q", name, got)
		}
	}
}

func TestAnUnansweredWriteKeepsTheLease(t *testing.T) {
	lock := &fakeLock{me: "a"}
	l := &Lease{Interface: lock, Valid: time.Minute, Now: time.Now}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
		t.Fatal(err)
	}
	l.Write()
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); err == nil || lock.record.HolderIdentity != "a" {
		t.Error("the lease was let go with a write unanswered")
	}
}

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

func TestRule8AWriteAsksTheLeaseLastOfAll(t *testing.T) {
	now := time.Unix(1000, 0)
	l := &Lease{Interface: &fakeLock{me: "a"}, Valid: 10 * time.Second, Now: func() time.Time { return now }}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
		t.Fatal(err)
	}
	c := &Controller{lease: l, view: newView(false), cfg: Config{FabricTimeout: time.Second}, now: l.Now, after: time.After}
	c.health = &health{now: l.Now}
	sent := 0
	send := func(context.Context) error { sent++; return nil }
	if err := c.write(t.Context(), 0x5, send); err != nil || sent != 1 {
		t.Fatalf("the leader's write: %v, %d sent", err, sent)
	}
	now = now.Add(time.Hour) // stopped, and gone on: no context has ended yet
	if err := c.write(t.Context(), 0x5, send); !errors.Is(err, ErrNotLeading) || sent != 1 {
		t.Errorf("under a lease that has passed: %v, %d sent", err, sent)
	}
}

package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/ibfabric/ibfabric/guid"
)

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

func TestALeaseThatSomebodyDeletedIsItsHoldersForAsLongAsItCounted(t *testing.T) {
	for holder, want := range map[string]struct {
		former string
		waits  bool
	}{"b": {"b", true}, "": {"", false}, "a": {"", false}} {
		now := time.Unix(1000, 0)
		lock := &fakeLock{me: "a", record: &resourcelock.LeaderElectionRecord{HolderIdentity: holder}}
		l := &Lease{Interface: lock, Valid: 10 * time.Second, Now: func() time.Time { return now }}
		free := func() bool { _, _, err := l.Get(t.Context()); return apierrors.IsNotFound(err) }
		_, _, _ = l.Get(t.Context())
		lock.record = nil // kubectl delete lease
		if free() == want.waits {
			t.Errorf("it was %q's: to be had at once: %t", holder, !want.waits)
		}
		if now = now.Add(14 * time.Second); free() == want.waits {
			t.Errorf("it was %q's: to be had after 14 s: %t", holder, !want.waits)
		}
		if now = now.Add(time.Second); !free() {
			t.Errorf("it was %q's, and is not to be had", holder)
		}
		if got := l.Former(); got != want.former {
			t.Errorf("it was %q's: the former leader is %q", holder, got)
		}
		if err := l.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil || l.Made() == want.waits {
			t.Errorf("it was %q's: to be waited for again: %t, %v", holder, l.Made(), err)
		}
	}
}

func TestALeaderMakesItsLeaseAnewAtOnce(t *testing.T) {
	lock := &fakeLock{me: "a", record: &resourcelock.LeaderElectionRecord{HolderIdentity: "b"}}
	l := &Lease{Interface: lock, Valid: 10 * time.Second, Now: time.Now}
	_, _, _ = l.Get(t.Context())
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil { // b's has run out
		t.Fatal(err)
	}
	lock.record = nil
	if _, _, err := l.Get(t.Context()); !apierrors.IsNotFound(err) || l.Leading() != nil {
		t.Errorf("%v, %v", err, l.Leading())
	}
}

func TestWhoeverReadsThatAnotherLeadsWritesNothingMore(t *testing.T) {
	lock := &fakeLock{me: "a"}
	l := &Lease{Interface: lock, Valid: 10 * time.Second, Now: time.Now}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
		t.Fatal(err)
	}
	lock.record = &resourcelock.LeaderElectionRecord{HolderIdentity: "c"} // made anew by one that never saw ours
	_, _, _ = l.Get(t.Context())
	if !errors.Is(l.Leading(), ErrNotLeading) {
		t.Error("it goes on")
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

// A lease that this process made does not say who led; that there is a ledger says that somebody did.
func TestWhereALedgerHasNoLeaseItsLastLeaderIsWaitedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		record *resourcelock.LeaderElectionRecord
		rows   bool
		want   time.Duration
	}{
		"a new fabric":                 {nil, false, 0},
		"the lease was deleted":        {nil, true, 15 * time.Second},
		"the lease was let go, or ran": {&resourcelock.LeaderElectionRecord{}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := leader(t, nil, guid.Range{First: 1, Last: 4})
				c.after = time.After
				lock := &fakeLock{me: "a", record: tc.record}
				c.lease = &Lease{Interface: lock, Valid: 10 * time.Second, Now: time.Now}
				take := c.lease.Update
				if _, _, err := c.lease.Get(t.Context()); apierrors.IsNotFound(err) {
					take = c.lease.Create
				}
				if err := take(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
					t.Fatal(err)
				}
				if tc.rows {
					c.ledger.Put(rowIn(1, "u", 5))
				}
				start := time.Now()
				if err := c.outlast(t.Context()); err != nil || time.Since(start) != tc.want {
					t.Errorf("%v after %s, want %s", err, time.Since(start), tc.want)
				}
			})
		})
	}
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// termsOf are Partitions that grant everybody.
type termsOf struct {
	allOpen
	by map[pkey.PKey]grant.Terms
}

func (g termsOf) Terms(p pkey.PKey) (grant.Terms, bool) {
	terms, ok := g.by[p]
	return terms, ok
}

func podNamed(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
}

// wantsIn are interfaces of a pod, each in one partition.
func wantsIn(p pkey.PKey, n int) (list []want) {
	for range n {
		list = append(list, want{net: attach.Network{Claims: []attach.Claim{{PKey: p, Mode: mode0}}}})
	}
	return list
}

// woken are the pods in the queue, in order of name.
func (d desk) woken() (names []string) {
	for d.pods.Len() > 0 {
		key, _ := d.pods.Get()
		d.pods.Done(key)
		names = append(names, key.Name)
	}
	slices.Sort(names)
	return names
}

func TestPodsThatComeAtOnceDoNotOverfillAPartition(t *testing.T) {
	const most, pods, rails = 20, 30, 3
	d := newDesk(t)
	d.grants = termsOf{by: map[pkey.PKey]grant.Terms{5: {Partition: "small", MaxMembers: most}}}
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() {
			done, err := d.admit(podNamed(fmt.Sprint("p", i)), wantsIn(5, rails))
			if err != nil {
				return
			}
			var made []ledger.Row
			for j := range rails {
				r := rowIn(guid.GUID(i*rails+j+1), types.UID(fmt.Sprint("p", i)), 5)
				d.ledger.Put(r)
				made = append(made, r)
			}
			done(made)
		})
	}
	all.Wait()
	if n := d.ledger.Len(); n != most/rails*rails {
		t.Errorf("%d GUIDs for %d places and pods of %d", n, most, rails)
	}
}

func TestAPodThatWaitsForRoomIsWokenByThoseThatLeaveAndByNoOthers(t *testing.T) {
	d := newDesk(t)
	d.grants = termsOf{by: map[pkey.PKey]grant.Terms{5: {Partition: "small", MaxMembers: 2}, 6: {Partition: "other", MaxMembers: 1}}}
	held := rowIn(9, "past", 5)
	held.State = ledger.Held
	for _, r := range []ledger.Row{rowIn(1, "a", 5), rowIn(2, "b", 5), rowIn(3, "c", 6), held} {
		d.ledger.Put(r)
	}
	var full *fullError
	for name, p := range map[string]pkey.PKey{"x": 5, "y": 6} {
		if _, err := d.admit(podNamed(name), wantsIn(p, 1)); !errors.As(err, &full) || full.never() {
			t.Fatalf("%s got in: %v", name, err)
		}
	}
	if _, err := d.admit(podNamed("z"), wantsIn(5, 3)); !errors.As(err, &full) || !full.never() || full.in != 2 {
		t.Errorf("a pod that never fits is told %v", err)
	}
	d.barred.forget(types.NamespacedName{Namespace: "ns", Name: "z"})
	left := d.ledger.Leave("a", "", "", time.Unix(1, 0))
	d.quota.forgetAll() // as every round does
	if done, err := d.admit(podNamed("x"), wantsIn(5, 1)); err == nil {
		done(nil)
		t.Error("a GUID that is leaving makes room")
	}
	d.leftBy(d.ledger.Out(5, []guid.GUID{left[0].GUID}, time.Unix(2, 0))...)
	if got := d.woken(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("woken are %v", got)
	}
	done, err := d.admit(podNamed("x"), wantsIn(5, 1))
	if err != nil {
		t.Fatal(err)
	}
	done(nil) // it got no row after all
	if done, err = d.admit(podNamed("x"), wantsIn(5, 1)); err != nil {
		t.Fatalf("the place that it did not take is gone: %v", err)
	}
	done(nil)
}

func TestAChangeWakesThoseItConcerns(t *testing.T) {
	d := newDesk(t)
	far := rowIn(3, "far", 7)
	far.Pod.Namespace = "elsewhere"
	gone := rowIn(4, "gone", 5)
	gone.State = ledger.Held
	for _, r := range []ledger.Row{rowIn(1, "in", 5), rowIn(2, "other", 6), far, gone} {
		d.ledger.Put(r)
	}
	d.barred.add(types.NamespacedName{Namespace: "ns", Name: "waits"}, 0)
	change := grant.Change{PKeys: map[pkey.PKey]bool{5: true, 9: true}, Namespaces: map[string]bool{"elsewhere": true}}
	d.grantsChanged(change)
	if got := d.woken(); len(got) > 0 {
		t.Errorf("woken before this replica leads: %v", got)
	}
	close(d.adopted)
	d.grantsChanged(change)
	if got, want := d.woken(), []string{"far", "in", "waits"}; !slices.Equal(got, want) {
		t.Errorf("woken are %v, want %v", got, want)
	}
	if n := d.partitions.Len(); n != 1 {
		t.Errorf("%d partitions are looked at, want the one with a member", n)
	}
	d.grantsChanged(grant.Change{Namespaces: map[string]bool{"nobody": true}})
	if got := d.woken(); len(got) > 0 {
		t.Errorf("woken by a change that concerns nobody: %v", got)
	}
}

func TestTakenIsWhatLedgerOrUFMKnows(t *testing.T) {
	d := newDesk(t)
	held := rowIn(1, "past", 5)
	held.State = ledger.Held
	d.ledger.Put(held)
	d.reader = &partlyReadable{parts: map[pkey.PKey]pkey.Partition{6: {PKey: 6, From: "ufm1", Members: []pkey.Member{{GUID: 2}}}, 7: {PKey: 7, From: "ufm1"}, 8: unread(8)}}
	d.view = newView(false)
	if err := d.readAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.view.members(9) // somebody asked for it
	taken := d.Taken()
	for p, want := range map[pkey.PKey]bool{5: true, 6: true, 7: true, 8: true, 9: false} {
		if taken[p] != want {
			t.Errorf("pkey %s is taken: %t, want %t", p, taken[p], want)
		}
	}
}

// picky is a UFM that will not have some quality of service.
type picky struct {
	Noop
	refuses bool
	asked   []pkey.QoS
}

func (*picky) QoS(context.Context, pkey.PKey) (pkey.QoS, bool, error) { return pkey.QoS{}, false, nil }

func (u *picky) SetQoS(_ context.Context, _ pkey.PKey, q pkey.QoS) error {
	u.asked = append(u.asked, q)
	if u.refuses {
		return refusal{errors.New("no such rate")}
	}
	return nil
}

func TestAQualityOfServiceThatUFMRefusesIsToldAndAskedForSeldom(t *testing.T) {
	now := time.Unix(1000, 0)
	ufm := &picky{refuses: true}
	d := newDesk(t)
	d.now, d.qualifier = func() time.Time { return now }, ufm
	q := pkey.QoS{MTULimit: 4, RateLimit: 100}
	d.grants = termsOf{by: map[pkey.PKey]grant.Terms{5: {QoS: &q}}}
	d.ledger.Put(rowIn(1, "a", 5))
	d.view.added(5, pkey.Batch{Mode: mode0, GUIDs: []guid.GUID{1}}, "ufm1")
	sync := func() time.Duration {
		t.Helper()
		again, err := d.syncQoS(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	again := sync()
	if sync(); len(ufm.asked) != 1 || again <= 0 {
		t.Errorf("asked %d times, again in %s", len(ufm.asked), again)
	}
	if why := d.Tally(5).QoS; why == nil || !strings.Contains(why.Error(), "no such rate") {
		t.Errorf("the Partition is told %v", why)
	}
	now, ufm.refuses = now.Add(again), false
	if again := sync(); again != 0 || len(ufm.asked) != 2 || d.Tally(5).QoS != nil {
		t.Errorf("asked %d times, again in %s, %v", len(ufm.asked), again, d.Tally(5).QoS)
	}
	if sync(); len(ufm.asked) != 2 {
		t.Error("what UFM has is asked for again")
	}
}

func TestABoundThatComesBackCountsThoseWhoCameWithoutOne(t *testing.T) {
	d := newDesk(t)
	bound := termsOf{by: map[pkey.PKey]grant.Terms{5: {Partition: "small", MaxMembers: 2}}}
	edited := grant.Change{PKeys: map[pkey.PKey]bool{5: true}}
	d.grants = bound
	d.ledger.Put(rowIn(1, "a", 5))
	if done, err := d.admit(podNamed("b"), wantsIn(5, 1)); err != nil {
		t.Fatal(err)
	} else {
		done(nil)
	}
	close(d.adopted)
	d.grants = termsOf{}
	d.grantsChanged(edited)
	d.ledger.Put(rowIn(2, "b", 5)) // nobody counts
	d.grants = bound
	d.grantsChanged(edited)
	var full *fullError
	if _, err := d.admit(podNamed("c"), wantsIn(5, 1)); !errors.As(err, &full) || full.in != 2 {
		t.Errorf("the third of two gets in: %v", err)
	}
}

// strayGrants bring a partition along that the controller may not change, until that is mended.
type strayGrants struct {
	termsOf
	brings *pkey.PKey
}

func (g strayGrants) Resolve(_ string, claims []attach.Claim) ([]attach.Claim, error) {
	if *g.brings == 0 {
		return claims, nil
	}
	return append(slices.Clone(claims), attach.Claim{PKey: *g.brings}), nil
}

func TestAPodWhosePartitionBringsWhatIsOutsideTheScopeIsWokenByItsMend(t *testing.T) {
	d := newDesk(t)
	brings := pkey.PKey(0x20)
	d.cfg.Scope, d.grants = pkey.Scope{{First: 1, Last: 9}}, strayGrants{brings: &brings}
	d.knows("rail1", "1", attach.Network{Claims: []attach.Claim{{PKey: 5}}})
	pod := podNamed("a")
	pod.Annotations = map[string]string{attach.NetworksAnnotation: "rail1"}
	if _, err := d.wanted(t.Context(), pod); err == nil || !strings.Contains(err.Error(), "outside what this controller may change") {
		t.Fatalf("it is told %v", err)
	}
	close(d.adopted)
	brings = 0
	d.grantsChanged(grant.Change{PKeys: map[pkey.PKey]bool{5: true}})
	if got := d.woken(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("woken are %v", got)
	}
	if asks, err := d.wanted(t.Context(), pod); err != nil || len(asks.ours) != 1 {
		t.Errorf("now it gets %v, %v", asks.ours, err)
	}
}

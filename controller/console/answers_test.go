package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// pages reads all pages of a list.
func pages[T any](t *testing.T, size int, read func(api.Query) (api.List[T], error)) (all []T) {
	t.Helper()
	q := api.Query{Limit: size}
	for range 1000 {
		list, err := read(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) > size {
			t.Fatalf("a page of %d has %d", size, len(list.Items))
		}
		all = append(all, list.Items...)
		if q.Continue = list.Continue; q.Continue == "" {
			return all
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

func TestEveryListComesWholeAndInOrderPageByPage(t *testing.T) {
	f := newFabric()
	const many = 57
	for i := range many {
		f.put(i, pkey.PKey(1+i%3))
	}
	f.show(1, 0x0300000000000001, mode0()) // foreign
	f.show(1, firstGUID+0xaaaa, mode0())   // unclaimed
	f.show(9, firstGUID+0xbbbb, mode0())   // unclaimed, alone
	f.show(2, firstGUID+1, pkey.Mode{})    // in another mode
	delete(f.ufm[2], firstGUID+4)          // missing
	f.wentOn["uid-1"], f.wentOn["uid-4"] = true, true
	f.ledger.Leave("uid-7", "", "", time.Unix(2000, 0))
	f.ledger.Leave("uid-10", "", "", time.Unix(2000, 0))
	f.ledger.Out(2, []guid.GUID{firstGUID + 10}, time.Unix(3000, 0)) // held, and UFM shows it again

	for _, size := range []int{1, 2, 7, 1000} {
		a := f.answers()
		members := pages(t, size, func(q api.Query) (api.List[api.Member], error) { return a.Members(1, q) })
		if len(members) != 21 || !slices.IsSortedFunc(members, func(x, y api.Member) int { return int(int64(x.GUID) - int64(y.GUID)) }) {
			t.Errorf("size %d: %d members", size, len(members))
		}
		for kind, want := range map[api.MemberKind]int{api.Ours: 19, api.Unclaimed: 1, api.Foreign: 1} {
			if got := pages(t, size, func(q api.Query) (api.List[api.Member], error) { q.Kind = kind; return a.Members(1, q) }); len(got) != want {
				t.Errorf("size %d: %d members are %s, want %d", size, len(got), kind, want)
			}
		}
		parts := pages(t, size, a.Partitions)
		var keys []pkey.PKey
		for _, p := range parts {
			keys = append(keys, p.PKey)
		}
		if !slices.Equal(keys, []pkey.PKey{1, 2, 3, 9}) {
			t.Errorf("size %d: partitions %v", size, keys)
		}
		if got := pages(t, size, a.GUIDs); len(got) != many {
			t.Errorf("size %d: %d guids", size, len(got))
		}
		for state, want := range map[api.RowState]int{api.Assigned: many - 2, api.Leaving: 1, api.Held: 1} {
			if got := pages(t, size, func(q api.Query) (api.List[api.GUID], error) { q.State = string(state); return a.GUIDs(q) }); len(got) != want {
				t.Errorf("size %d: %d guids are %s, want %d", size, len(got), state, want)
			}
		}
		if got := pages(t, size, a.Pods); len(got) != many {
			t.Errorf("size %d: %d pods", size, len(got))
		}
		var kinds []string
		for _, d := range pages(t, size, a.Drift) {
			kinds = append(kinds, fmt.Sprintf("%s %s %d", d.Kind, d.PKey, d.GUID-firstGUID))
		}
		want := []string{"unclaimed 0x1 43690", "mode 0x2 1", "missing 0x2 4", "leftover 0x2 10", "unclaimed 0x9 48059"}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("size %d: drift (-want +got):\n%s", size, diff)
		}
		o, err := a.Overview()
		if err != nil || o.Members.Foreign != 1 || o.Members.Unclaimed != 2 || o.Members.Desired != many-2 || o.Members.Pending != 2 || o.Members.Leaving != 1 || o.Drift != 3 || o.InSync {
			t.Errorf("the overview is %+v, %v", o, err)
		}
	}
}

func TestWhatIsOnItsWayIsNoDrift(t *testing.T) {
	f := newFabric()
	f.put(1, 5)
	delete(f.ufm[5], firstGUID+1)
	a := f.answers()
	if d, err := a.Drift(api.Query{}); err != nil || len(d.Items) > 0 {
		t.Errorf("drift %+v, %v", d, err)
	}
	plan, err := a.Plan(api.Query{})
	if err != nil || len(plan.Items) != 1 || plan.Items[0].Verb != api.VerbAdd || plan.Items[0].Count != 1 || plan.Items[0].Waits != "" {
		t.Errorf("the plan is %+v, %v", plan, err)
	}
	f.cfg.Policy = controller.DryRun
	if plan, _ := f.answers().Plan(api.Query{}); plan.Items[0].Waits == "" {
		t.Error("a dry run does not say that nothing is done")
	}
}

func TestAReplicaThatDoesNotLeadSaysWhoDoesAndNothingElse(t *testing.T) {
	f := newFabric()
	f.status = controller.Status{}
	a := f.answers()
	for name, err := range map[string]error{
		"overview": second(a.Overview()), "partitions": second(a.Partitions(api.Query{})), "members": second(a.Members(5, api.Query{})), "partition": second(a.Partition(5)),
		"pods": second(a.Pods(api.Query{})), "pod": second(a.Pod(t.Context(), types.NamespacedName{Name: "a"})), "guids": second(a.GUIDs(api.Query{})),
		"whois": second(a.Whois(api.Query{Text: "0x5"})), "search": second(a.Search(api.Query{Text: "a"})), "nodes": second(a.Nodes(api.Query{})),
		"drift": second(a.Drift(api.Query{})), "plan": second(a.Plan(api.Query{})), "journal": second(a.Journal(api.Query{})),
		"reclaim": second(a.Reclaim(t.Context(), api.ReclaimRequest{}, "me")), "release": second(a.Release(t.Context(), api.ReleaseRequest{}, "me")),
	} {
		var e *api.Error
		if !errors.As(err, &e) || e.Code != http.StatusServiceUnavailable || e.Leader != "other" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestWhoWaitsLongestIsNamedWithTheReason(t *testing.T) {
	f := newFabric()
	for i := range 3 {
		r := f.put(i, 5)
		f.waits = append(f.waits, controller.Wait{Pod: r.Pod, Since: time.Unix(int64(1000-i), 0)})
	}
	late := f.put(9, 5)
	f.reasons = []controller.Reason{
		{Pod: f.waits[2].Pod, UID: "uid-2", Event: record.PodWaiting, Text: "UFM sleeps", Since: time.Unix(900, 0)},
		{Pod: late.Pod, UID: late.UID, Event: record.PodRefused, Text: "write it anew", Since: time.Unix(1, 0)},
	}
	o, err := f.answers().Overview()
	if err != nil || o.Waiting != 3 || o.Refused != 1 || o.Oldest == nil || o.Oldest.UID != "uid-2" || o.Oldest.Why != "UFM sleeps" {
		t.Errorf("%+v, oldest %+v, %v", o, o.Oldest, err)
	}
}

func TestTheJournalIsFilteredAndPaged(t *testing.T) {
	f := newFabric()
	r := f.put(3, 5)
	a := f.answers()
	book := a.journal.(*journal.Book)
	for i := range 30 {
		e := journal.Entry{Verb: journal.Add, PKey: pkey.PKey(5 + i%2), Outcome: journal.Done}
		e.Name([]guid.GUID{firstGUID + guid.GUID(i%4)}, []types.NamespacedName{{Namespace: "ns", Name: fmt.Sprint(i % 4)}})
		book.Note(e)
	}
	for name, tc := range map[string]struct {
		q    api.Query
		want int
	}{
		"all": {api.Query{}, 30}, "a pkey": {api.Query{PKey: 5}, 15}, "a guid": {api.Query{GUID: r.GUID}, 7},
		"a pod": {api.Query{Pod: api.PodName{Namespace: "ns", Name: "1"}}, 8}, "a guid elsewhere": {api.Query{GUID: r.GUID, PKey: 5}, 0},
	} {
		got := pages(t, 4, func(q api.Query) (api.List[api.Entry], error) {
			tc.q.Limit, tc.q.Continue = q.Limit, q.Continue
			return a.Journal(tc.q)
		})
		if len(got) != tc.want || !slices.IsSortedFunc(got, func(x, y api.Entry) int { return int(y.ID) - int(x.ID) }) {
			t.Errorf("%s: %d entries, want %d", name, len(got), tc.want)
		}
	}
}

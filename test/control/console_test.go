package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestTheConsoleLetsInWhomTheClusterLetsIn(t *testing.T) {
	w := newWorld(t)
	w.start()
	head := *w.head("").Console
	at := func(cfg *rest.Config) *consoleClient { return consoleAt(t, head, cfg) }

	at(&rest.Config{}).refused(http.MethodGet, api.PathOverview, nil, http.StatusUnauthorized)
	at(&rest.Config{BearerToken: "a guess"}).refused(http.MethodGet, api.PathOverview, nil, http.StatusUnauthorized)

	// What every user who is logged in may read is not among what is served here.
	nobody := at(w.userWith("nobody", ""))
	for _, path := range []string{api.PathOverview, api.PathMetrics, "/", "/ibfabric/console/"} {
		e := nobody.refused(http.MethodGet, path, nil, http.StatusForbidden)
		if e.Permission == nil || e.Permission.Path != path || e.Permission.Verb != "get" || !strings.Contains(e.Message, "nonResourceURLs") {
			t.Errorf("%s: %+v does not say which right is missing", path, e)
		}
	}
	for name, cfg := range map[string]*rest.Config{
		"by certificate": w.userWith("viewer", "get", "/ibfabric/*"),
		"by token":       w.accountWith("viewer2", "get", "/ibfabric/*"),
	} {
		viewer := at(cfg)
		var o api.Overview
		testbed.Eventually(t, name+": the leader has adopted", func() (bool, string) {
			viewer.get(api.PathOverview, &o)
			return o.Leader.Adopted, ""
		})
		if o.Fabric != w.ns || !o.UFM.Reads.OK || o.UFM.Full.At.IsZero() || !o.UFM.Shows {
			t.Errorf("%s: %+v", name, o)
		}
		viewer.refused(http.MethodPost, api.PathReclaim, api.ReclaimRequest{}, http.StatusForbidden)
		viewer.refused(http.MethodPost, api.PathRelease, api.ReleaseRequest{}, http.StatusForbidden)
		viewer.refused(http.MethodGet, api.PathMetrics, nil, http.StatusForbidden)
		viewer.refused(http.MethodGet, "/ibfabric/../metrics", nil, http.StatusBadRequest)
	}
	admin := at(w.bed.Config())
	if code, text := admin.do(http.MethodGet, api.PathMetrics, nil); code != http.StatusOK || !strings.Contains(string(text), "ibfabric_events_total") {
		t.Errorf("metrics: %d", code)
	}
	if code, text := admin.do(http.MethodPost, api.PathReclaim, api.ReclaimRequest{}, "Origin", "https://elsewhere"); code != http.StatusForbidden {
		t.Errorf("a browser's request was taken: %d %s", code, text)
	}
	admin.refused(http.MethodPost, api.PathReclaim, map[string]string{"all": "of them"}, http.StatusBadRequest)
	admin.refused(http.MethodGet, api.Prefix+"/nothing", nil, http.StatusNotFound)
}

func TestTheConsoleExplainsAPodFromItsAnnotationToUFM(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.network("rail2", "0x6")
	w.start()
	c := w.console(w.bed.Config())
	w.pod("a", "rail1,rail2")
	w.pod("b", "rail1,rail9")
	guids := w.configured("a")
	w.event("b", "FabricWaiting", "rail9")

	var pod api.Pod
	hasMoment := func(event string) bool {
		return slices.ContainsFunc(pod.Timeline, func(m api.Moment) bool { return m.Event == event })
	}
	testbed.Eventually(t, "the console has the pod", func() (bool, string) {
		c.get("/ibfabric/v1/pods/"+w.ns+"/a", &pod)
		agrees := pod.State == api.PodConfigured && len(pod.Attached) == 2 && pod.Attached[1].Says != nil && pod.Attached[1].Says.Agrees
		return agrees && hasMoment("pod.configured"), fmt.Sprint(pod.Why, pod.Timeline) // the watch may show it before its patch is answered
	})
	for i, p := range []pkey.PKey{0x5, 0x6} {
		of := pod.Attached[i]
		if of.GUID != guids[i] || of.Network != w.ns+"/rail"+string(rune('1'+i)) || !of.Granted || of.Missing != "" || !of.Ledger.Stored ||
			len(of.UFM) != 1 || of.UFM[0].PKey != p || of.UFM[0].Shown != "full, index 0" || of.UFM[0].Since.IsZero() {
			t.Errorf("interface %d: %+v %+v", i, of, of.UFM)
		}
	}
	for _, want := range []string{"pod.created", "pod.assigned", "ufm.add"} {
		if !hasMoment(want) {
			t.Errorf("the timeline %+v has no %s", pod.Timeline, want)
		}
	}

	c.get("/ibfabric/v1/pods/"+w.ns+"/b", &pod)
	if pod.State != api.PodWaiting || !strings.Contains(strings.Join(pod.Missing, "\n"), "rail9 does not exist: create") {
		t.Errorf("b is %s and misses %q", pod.State, pod.Missing)
	}
	var pods api.List[api.PodSummary]
	c.get(api.PathPods+"?state=waiting&namespace="+w.ns, &pods)
	if len(pods.Items) != 1 || pods.Items[0].Name != "b" || pods.Items[0].Why == "" || pods.Items[0].Since.IsZero() {
		t.Errorf("there wait %+v", pods.Items)
	}
	var o api.Overview
	testbed.Eventually(t, "the overview counts them", func() (bool, string) {
		c.get(api.PathOverview, &o)
		return o.Members.Actual == 2 && o.InSync, ""
	})
	// Pods of other tests in the cluster wait too: whose networks do not exist, nobody can tell.
	if o.Waiting < 1 || o.Oldest == nil || o.Oldest.Why == "" || o.Drift != 0 || o.Pool.Owned != 2 || o.Journal.Entries < 2 {
		t.Errorf("%+v, oldest %+v", o, o.Oldest)
	}
	for _, spelling := range []string{guids[0].String(), guids[0].Hex(), "0x" + strings.ToUpper(guids[0].Hex()), guids[0].Sysfs(), "0x2" + guids[0].Hex()[2:], "fe80::" + guids[0].Sysfs()} {
		var who api.Whois
		c.get(api.PathWhois+"?q="+spelling, &who)
		if who.GUID == nil || who.GUID.GUID != guids[0] || who.GUID.Row == nil || who.GUID.Row.Pod.Name != "a" || len(who.Journal) == 0 {
			t.Errorf("%s is %+v", spelling, who)
		}
	}
	for _, spelling := range []string{"0x5", "0x0005", "0x8005", "5"} {
		var who api.Whois
		c.get(api.PathWhois+"?q="+spelling, &who)
		if who.PKey == nil || who.PKey.PKey != 0x5 || who.PKey.Members.Actual != 1 {
			t.Errorf("%s is %+v", spelling, who)
		}
	}
	var hits api.List[api.Hit]
	c.get(api.PathSearch+"?q=a", &hits)
	if len(hits.Items) == 0 {
		t.Error("pod a is not found by its name")
	}
	c.refused(http.MethodGet, api.PathWhois+"?q=rail1", nil, http.StatusBadRequest)
	c.refused(http.MethodGet, "/ibfabric/v1/pods/"+w.ns+"/none", nil, http.StatusNotFound)
	c.refused(http.MethodGet, "/ibfabric/v1/partitions/0x77", nil, http.StatusNotFound)
}

func TestUnclaimedMembersGoByNameAndNothingElseDoes(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	const stray, stays, foreign = guid.GUID(0x02000000000000aa), guid.GUID(0x02000000000000bb), guid.GUID(0x03ff000000000001)
	full0 := pkey.Mode{Index0: true}
	var preload []pkey.Member
	for _, g := range []guid.GUID{stray, stays, foreign} {
		preload = append(preload, pkey.Member{GUID: g, Mode: full0})
	}
	if err := w.sim.Preload(pkey.Partition{PKey: 0x5, Members: preload}); err != nil {
		t.Fatal(err)
	}
	w.start("--guid-range-end=02:00:00:00:00:00:ff:ff")
	c := w.console(w.bed.Config())
	w.pod("a", "rail1")
	mine := w.configured("a")[0]
	var members api.List[api.Member]
	testbed.Eventually(t, "two members are unclaimed", func() (bool, string) {
		c.get("/ibfabric/v1/partitions/0x5/members?kind=unclaimed", &members)
		return len(members.Items) == 2 && members.Total == 2, ""
	})
	c.get("/ibfabric/v1/partitions/0x5/members", &members)
	if len(members.Items) != 4 || members.Items[0].GUID != mine || members.Items[0].Pod.Name != "a" || members.Items[3].Kind != api.Foreign {
		t.Errorf("the members are %+v", members.Items)
	}

	name := func(guids ...guid.GUID) (r api.ReclaimRequest) {
		for _, g := range guids {
			r.Members = append(r.Members, api.MemberName{PKey: 0x5, GUID: g})
		}
		return r
	}
	var answer api.ReclaimAnswer
	dry := name(stray, mine)
	dry.DryRun = true
	c.post(api.PathReclaim, dry, &answer)
	if !answer.Results[0].Removed || answer.Results[1].Removed || len(w.members(0x5)) != 4 {
		t.Errorf("the dry run said %+v, and UFM has %v", answer, w.members(0x5))
	}
	c.post(api.PathReclaim, name(stray, mine, foreign, 0x02000000000000cc), &answer)
	for i, want := range []bool{true, false, false, false} {
		if got := answer.Results[i]; got.Removed != want || (got.Error == "") != want {
			t.Errorf("%+v, want removed %t", got, want)
		}
	}
	w.inUFM(0x5, mine, stays, foreign)
	var entries api.List[api.Entry]
	c.get(api.PathJournal+"?guid="+stray.String(), &entries)
	if len(entries.Items) != 1 || entries.Items[0].Verb != api.VerbReclaim || entries.Items[0].User != "testbed-admin" || entries.Items[0].Outcome != api.Done || entries.Items[0].From == "" {
		t.Errorf("the journal has %+v", entries.Items)
	}
	w.logged("ufm.reclaimed", stray.String())
}

func TestAStandbyNamesTheLeaderAndTheNextOneKnowsTheJournal(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	first := w.start(quick()...)
	led := w.head("")
	w.pod("a", "rail1")
	g := w.configured("a")[0]
	var entries api.List[api.Entry]
	w.journaled()
	first.run.Kill()

	w.start()
	now := w.head(led.Leader)
	next := consoleAt(t, *now.Console, w.bed.Config())
	testbed.Eventually(t, "the next leader has the journal", func() (bool, string) {
		code, _ := next.do(http.MethodGet, api.PathJournal, nil)
		if code != http.StatusOK {
			return false, "it does not answer yet"
		}
		next.get(api.PathJournal+"?pod="+w.ns+"/a", &entries)
		return len(entries.Items) == 1, ""
	})
	if e := entries.Items[0]; e.Verb != api.VerbAdd || e.PKey != 0x5 || !slices.Equal(e.GUIDs, []guid.GUID{g}) || e.Leader != led.Leader || e.From == "" || e.Why == "" {
		t.Errorf("the journal has %+v", e)
	}

	standby := w.startStandby()
	e := standby.refused(http.MethodGet, api.PathOverview, nil, http.StatusServiceUnavailable)
	if e.Leader != now.Leader || !strings.Contains(e.Message, now.Leader) {
		t.Errorf("the standby says %+v, and %s leads", e, now.Leader)
	}
}

func TestTheConsoleTicksWhenSomethingChangesAndIsSilentElse(t *testing.T) {
	w := newWorldAlone(t) // a pod of another test may tick here too
	w.network("rail1", "0x5")
	w.start("--summary-period=1s", "--sync-period=200ms")
	ticks := w.console(w.bed.Config()).ticks()
	if first := <-ticks; len(first.Topics) != 8 {
		t.Errorf("the first tick is %+v", first)
	}
	w.pod("a", "rail1")
	w.configured("a")
	var last uint64
	var topics []api.Topic
	for tick := range ticks {
		if tick.Version < last { // the same one comes again, for lists from before the change
			t.Errorf("version %d behind %d", tick.Version, last)
		}
		last = tick.Version
		if topics = append(topics, tick.Topics...); slices.Contains(topics, api.TopicJournal) && slices.Contains(topics, api.TopicPods) {
			break
		}
	}
	// How long what is on its way takes depends on the machine. What ticks at idle never ends.
	testbed.Eventually(t, "silence while nothing changes", func() (bool, string) {
		for len(ticks) > 0 {
			last = (<-ticks).Version
		}
		w.summaries(3)
		return len(ticks) == 0, fmt.Sprintf("%d ticks in three summaries behind version %d", len(ticks), last)
	})
}

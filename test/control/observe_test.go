package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestAPodsLifeIsSixLinesThatOneGrepFinds(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"rail1", "rail2"} {
		w.network(n, "0x5")
	}
	if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: 503, Op: ufmsim.OpAdd, Count: 3}); err != nil {
		t.Fatal(err)
	}
	w.start("--log-level=info", "--hold=1ms")
	w.pod("a", "rail1,rail2,rail3") // rail3 comes later
	w.event("a", "FabricWaiting", "rail3")
	w.network("rail3", "0x6")
	w.configured("a")
	w.deletePod("a")
	w.inUFM(0x5)
	w.inUFM(0x6)
	w.logged("guid.held", w.ns+"/a")
	type said struct{ Event, PKey, Err string }
	var life []said
	var events []string
	for line := range strings.Lines(w.said()[0]) {
		if strings.Contains(line, w.ns+"/a\"") {
			var s said
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if slices.Contains(life, s) {
				t.Errorf("it was said again: %s", line)
			}
			life, events = append(life, s), append(events, s.Event)
		}
	}
	// It waits for a network and for two partitions; on a slow machine perhaps for an answer too.
	if lives := slices.DeleteFunc(slices.Clone(events), func(e string) bool { return e == "pod.waiting" }); len(lives) > 3 {
		t.Errorf("its life is %d lines beside those of what it waits for: %v", len(lives), events)
	}
	for _, want := range []string{"pod.waiting", "pod.configured", "pod.left", "guid.held"} {
		if !strings.Contains(strings.Join(events, " "), want) {
			t.Errorf("its life %v has no %s", events, want)
		}
	}
}

func TestNetworksAndPartitionsHearOfThemselvesOnce(t *testing.T) {
	w := newWorld(t)
	w.network("good", "0x5")
	w.network("bad", "1000")
	w.start("--sync-period=100ms", "--summary-period=300ms")
	w.pod("a", "bad")
	w.event("bad", "NetworkInvalid", "did you mean 0x3e8")
	w.event("a", "FabricRefused", "0x3e8")
	w.network("bad", "2000") // edited, and wrong again
	w.event("bad", "NetworkInvalid", "0x7d0")
	w.partition("mine", spec{PKey: "0x7"})
	w.summaries(3)
	for about, want := range map[string]int{"bad": 2, "good": 0} {
		if n := w.events(w.ns, about); n != want {
			t.Errorf("network %s was told %d times, want %d", about, n, want)
		}
	}
	testbed.Eventually(t, "the Partition has an Event", func() (bool, string) {
		return w.events(metav1.NamespaceDefault, w.named("mine")) == 1, ""
	})
}

// events counts what was told of an object: each Event, as often as it came.
func (w *world) events(namespace, about string) (n int) {
	w.t.Helper()
	list, err := w.bed.Client().EventsV1().Events(namespace).List(w.ctx(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Regarding.Name == about {
			if n++; e.Series != nil {
				n += int(e.Series.Count) - 1
			}
		}
	}
	return n
}

func TestAGUIDWhoseNodeIsGoneForGoodIsFreedByAWordAndNotBefore(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	node := "gone-" + w.ns[len(w.ns)-5:]
	if err := w.bed.CreateNode(w.ctx(), node); err != nil {
		t.Fatal(err)
	}
	w.start("--hold=1ms", "--guid-range-end=02:00:00:00:00:00:00:00") // one GUID
	c := w.console(w.bed.Config())
	w.pod("a", "rail1", func(p *corev1.Pod) { p.Spec.NodeName = node })
	g := w.configured("a")[0]
	var answer api.ReleaseAnswer
	c.post(api.PathRelease, api.ReleaseRequest{GUIDs: []guid.GUID{g}}, &answer)
	if answer.Results[0].Released || !strings.Contains(answer.Results[0].Error, "not held") {
		t.Errorf("a live pod's GUID: %+v", answer)
	}
	if err := w.bed.Client().CoreV1().Nodes().Delete(w.ctx(), node, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the pod is gone, with its node or without", func() (bool, string) {
		err := w.api.Delete(w.ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "a"}}, client.GracePeriodSeconds(0))
		return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprint(err)
	})
	w.inUFM(0x5)
	w.pod("b", "rail1")
	w.event("b", "FabricWaiting", "exhausted")
	var o api.Overview
	testbed.Eventually(t, "the hold is stuck", func() (bool, string) {
		c.get(api.PathOverview, &o)
		return o.StuckHolds == 1, fmt.Sprintf("%+v", o)
	})
	var who api.Whois
	c.get(api.PathWhois+"?q="+g.String(), &who)
	if !strings.Contains(strings.Join(who.Answer, " "), "gone for good") {
		t.Errorf("whois says %q", who.Answer)
	}

	c.post(api.PathRelease, api.ReleaseRequest{GUIDs: []guid.GUID{g}, DryRun: true}, &answer)
	c.post(api.PathRelease, api.ReleaseRequest{GUIDs: []guid.GUID{g, g + 1}}, &answer)
	if !answer.Results[0].Released || answer.Results[1].Released {
		t.Errorf("%+v", answer)
	}
	if got := w.configured("b")[0]; got != g {
		t.Errorf("b has %s, want %s", got, g)
	}
	w.logged("guid.released", "testbed-admin")
}

// TestNoSecretIsAnywhere reads all that a full run leaves for people to see: logs, Events,
// metrics, the console's answers and the objects that the controller wrote.
func TestNoSecretIsAnywhere(t *testing.T) {
	const token = "t0ken-of-ufm-s3cret"
	w := newWorld(t, func(c *ufmsim.Config) { c.Token = token })
	w.network("rail1", "0x5")
	user := w.accountWith("viewer", "get", "/ibfabric/*", "/metrics")
	w.startWith([]string{"UFM_TOKEN=" + token}, "--log-level=debug")
	c := w.console(w.bed.Config())
	for _, status := range []int{401, 403, 400, 500} {
		if _, err := w.sim.Inject(ufmsim.Fault{Kind: ufmsim.FaultStatus, Status: status, Count: 2}); err != nil {
			t.Fatal(err)
		}
	}
	w.pod("a", "rail1")
	w.pod("b", "none")
	g := w.configured("a")[0]
	byToken := w.console(user)
	byToken.refused(http.MethodPost, api.PathRelease, api.ReleaseRequest{GUIDs: []guid.GUID{g}}, http.StatusForbidden)
	w.journaled()

	seen := strings.Join(w.said(), "\n")
	for _, path := range []string{
		api.PathOverview, api.PathPartitions, "/ibfabric/v1/partitions/0x5", "/ibfabric/v1/partitions/0x5/members", api.PathPods, "/ibfabric/v1/pods/" + w.ns + "/a",
		api.PathGUIDs, api.PathWhois + "?q=0x5", api.PathSearch + "?q=a", api.PathNodes, api.PathDrift, api.PathPlan, api.PathJournal, api.PathMetrics, "/none",
	} {
		for _, as := range []*consoleClient{c, byToken} {
			_, text := as.do(http.MethodGet, path, nil)
			seen += string(text)
		}
	}
	for _, list := range []client.ObjectList{&corev1.EventList{}, &v1alpha1.LedgerList{}, &v1alpha1.JournalList{}, &corev1.PodList{}} {
		if err := w.api.List(w.ctx(), list, client.InNamespace(w.ns)); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(text)
	}
	for what, secret := range map[string]string{"the password of UFM": password, "the token of UFM": token, "the token of who asked": user.BearerToken} {
		if i := strings.Index(seen, secret); i >= 0 {
			t.Errorf("%s stands in %q", what, seen[max(0, i-200):i+len(secret)])
		}
	}
	if !strings.Contains(seen, "FabricWaiting") || !strings.Contains(seen, "ibfabric_members") || len(seen) < 10_000 {
		t.Errorf("the run left little to look at: %d bytes", len(seen))
	}
}

package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/browser"
	"github.com/ibfabric/ibfabric/test/console/memory"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const isLive = `document.getElementById("live").textContent === "Live"`

// TestLive: an open page follows what happens, and whoever uses it stays where they are.
func TestLive(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Size(1000, 500)
	tab.Go(pages.Prefix + "pods")
	tab.Until(isLive)

	// Somebody looks at the last pod of the list, and has it in focus.
	browser.Eval[bool](tab, `(window.row = document.querySelector("#all").parentElement.querySelector('tr[data-key="team-c/probe"] a')).focus() || true`)
	browser.Eval[bool](tab, `scrollTo(0, 400), true`) // newer browsers answer with a promise
	before := browser.Eval[float64](tab, `window.row.getBoundingClientRect().top`)

	p := s.AddPod("team-a", "train-9", "gpu-001", 8, memory.TeamA)
	tab.UntilSays("team-a/train-9")
	if !browser.Eval[bool](tab, `document.activeElement === window.row`) {
		t.Error("the focus is lost when a pod comes")
	}
	if after := browser.Eval[float64](tab, `window.row.getBoundingClientRect().top`); after < before-1 {
		t.Errorf("the row in focus went from %v to %v", before, after)
	}
	if got := browser.Eval[string](tab, `document.querySelector('tr[data-key="team-a/train-9"] .badge').textContent`); got != "waiting" {
		t.Errorf("the new pod is %s", got)
	}
	s.Configure(p)
	tab.Until(`document.querySelectorAll('tr[data-key="team-a/train-9"]').length === 1`)
	tab.Until(`document.querySelector('tr[data-key="team-a/train-9"] .badge').textContent === "configured"`)
	s.RemovePod(p)
	tab.UntilSilent("team-a/train-9")
	if !browser.Eval[bool](tab, `document.activeElement === window.row`) {
		t.Error("the focus is lost when a pod goes")
	}

	// What had the focus is gone: the page has it, not the beginning of everything.
	s.RemovePod(s.Refused)
	tab.UntilSilent("team-c/probe")
	tab.Until(`document.activeElement.id === "main"`)
}

// TestLivePod: the page of a pod that gets on, with its details open, and then is gone.
func TestLivePod(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Go(pages.Prefix + "pods/team-b/infer-2")
	tab.UntilSays("What is missing")
	tab.Until(isLive)
	browser.Eval[bool](tab, `(window.details = document.querySelector("main details")).open = true`)

	s.Configure(s.Waiting)
	tab.UntilSilent("What is missing")
	tab.UntilSays("pod.configured")
	if !browser.Eval[bool](tab, `window.details.isConnected && window.details.open`) {
		t.Error("the open details are shut, or others")
	}
	if got := browser.Eval[string](tab, `document.querySelector(".lead .badge").className`); got != "badge good" {
		t.Errorf("the pod's badge is %q", got)
	}
	s.RemovePod(s.Waiting)
	tab.UntilSays("Not known here")
	tab.Until(`document.title.startsWith("Not known here")`)
	// As often as the page asked again.
	said := tab.Forgive()
	if len(said) == 0 || slices.ContainsFunc(said, func(s string) bool { return !strings.Contains(s, "404") }) {
		t.Errorf("the browser says %q, want 404 and nothing else", said)
	}

	// A pod of that name may come again: the page that says that there is none is not the last word.
	s.AddPod("team-b", "infer-2", "gpu-001", 1, memory.TeamB)
	tab.UntilSays("What is missing")
	tab.Until(`document.title.startsWith("Pod team-b/infer-2")`)
}

// TestLiveOverview: the answer to "is the fabric what the cluster says?" changes with it.
func TestLiveOverview(t *testing.T) {
	s := memory.Tell()
	f := memory.New(s.Clock.Now)
	f.AddPartition(memory.TeamA, "team-a")
	tab := browser.Start(t).Open(t, serve(t, f, s.Clock))
	tab.Go(pages.Prefix)
	tab.UntilSays("The fabric is what the cluster says")
	tab.Until(isLive)
	p := f.AddPod("team-a", "train-0", "gpu-001", 8, memory.TeamA)
	tab.UntilSays("8 members on the way in")
	tab.UntilSays("Longest: team-a/train-0")
	f.Configure(p)
	tab.UntilSays("The fabric is what the cluster says")
	f.AddDrift(api.Drift{Kind: api.DriftMissing, PKey: memory.TeamA})
	tab.UntilSays("1 member differs")
	f.Change(func(o *api.Overview) {
		o.UFM.Reads = api.Health{Error: "GET /ufmRest/resources/pkeys: connection refused"}
	})
	tab.UntilSays("UFM does not answer")
	tab.UntilSays("connection refused")
}

// TestNotLive: a page whose server leads no longer says so, keeps what it shows, and is
// live again when there is news.
func TestNotLive(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Go(pages.Prefix + "pods")
	tab.Until(isLive)
	s.Fail(&api.Error{Code: http.StatusServiceUnavailable, Message: "this replica does not lead", Leader: "other"})
	s.Change(func(*api.Overview) {})
	s.ChangePod(s.Waiting, func(*api.Pod) {})
	tab.UntilSays("Not live: This replica does not lead")
	if text := tab.Text(); !strings.Contains(text, "team-b/infer-2") {
		t.Errorf("the page has lost what it showed:\n%s", text)
	}
	s.Fail(nil)
	s.AddPod("team-b", "infer-9", "gpu-001", 1, memory.TeamB)
	tab.UntilSays("team-b/infer-9")
	tab.Until(isLive)
	for _, said := range tab.Forgive() {
		if !strings.Contains(said, "503") {
			t.Errorf("the browser says %s", said)
		}
	}
}

// TestHiddenTab: a tab that nobody sees asks for nothing and holds no connection: a browser
// has six to a host, and the seventh open page would hang.
func TestHiddenTab(t *testing.T) {
	s := memory.Tell()
	tab := browser.Start(t).Open(t, serve(t, s.Fabric, s.Clock))
	tab.Go(pages.Prefix + "pods")
	tab.Until(isLive)
	hide := func(hidden bool) {
		browser.Eval[bool](tab, `Object.defineProperty(document, "hidden", {value: `+map[bool]string{true: "true", false: "false"}[hidden]+`, configurable: true}) && document.dispatchEvent(new Event("visibilitychange"))`)
	}
	hide(true)
	testbed.Eventually(t, "nobody watches", func() (bool, string) { return s.Watchers() == 0, "" })
	s.AddPod("team-b", "infer-9", "gpu-001", 1, memory.TeamB)
	hide(false)
	tab.UntilSays("team-b/infer-9")
}

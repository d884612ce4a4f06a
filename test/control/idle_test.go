package control

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// TestAnIdleControllerDoesNothing counts what a controller with nothing to do asks of the
// API server, of UFM, and of whoever reads its log, by its own clock: summaries and syncs.
func TestAnIdleControllerDoesNothing(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.network("rail2", "0x6")
	api, env := w.apiFront()
	w.lead(env, "--log-level=info", "--sync-period=200ms", "--summary-period=2s")
	for i := range 5 {
		w.pod(fmt.Sprintf("p%d", i), "rail1,rail2")
	}
	for i := range 5 {
		w.configured(fmt.Sprintf("p%d", i))
	}
	w.journaled()
	w.summaries(2) // what was still on its way has come; the first summary may be due right now
	writes, lines, calls := len(api.requests(isWrite)), len(w.lines()), w.sim.Calls()

	const rounds = 3
	w.summaries(rounds)
	for _, r := range api.requests(isWrite)[writes:] {
		if !strings.Contains(r.URL.Path, "/namespaces/"+w.ns+"/") {
			continue // an Event for a pod of another test
		}
		t.Errorf("an idle controller wrote: %s %s", r.Method, r.URL.Path)
	}
	for _, line := range w.lines()[lines:] {
		if line["event"] != "summary" && !w.othersPod(line) {
			t.Errorf("an idle controller said: %v", line)
		}
	}
	for op, n := range w.sim.Calls() {
		if n -= calls[op]; n > 0 && op != ufmsim.OpList {
			t.Errorf("an idle controller asked UFM for %s %d times", op, n)
		}
	}
	// A sync reads UFM once, and a summary comes every tenth sync: a slow machine may have
	// seen fewer, none more.
	if reads := w.sim.Calls()[ufmsim.OpList] - calls[ufmsim.OpList]; reads == 0 || reads > 10*rounds+10 {
		t.Errorf("UFM was read %d times in %d summaries, want once a sync", reads, rounds)
	}
}

// summaries waits for so many more summary lines.
func (w *world) summaries(n int) {
	w.t.Helper()
	count := func() (sum int) {
		for _, line := range w.lines() {
			if line["event"] == "summary" {
				sum++
			}
		}
		return sum
	}
	before := count()
	testbed.Eventually(w.t, fmt.Sprintf("%d summaries come", n), func() (bool, string) { return count() >= before+n, "" })
}

// othersPod reports whether a line is about a pod of another test in the same cluster, such
// as one whose annotation nobody can read: which fabric it is for, nobody can tell.
func (w *world) othersPod(line map[string]any) bool {
	pod, ok := line["pod"].(string)
	return ok && !strings.HasPrefix(pod, w.ns+"/")
}

// isWrite reports whether a request changes anything but the lease.
func isWrite(r *http.Request) bool {
	return r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/leases/")
}

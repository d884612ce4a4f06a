package multus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// versions are those of all networks of the test.
func (w *world) versions(count int) map[string]string {
	w.t.Helper()
	versions := map[string]string{}
	for i := range count {
		name := fmt.Sprintf("rail%d", i)
		nad := w.nad(name)
		if nad == nil {
			w.t.Fatalf("network %s is gone", name)
		}
		versions[name] = nad.ResourceVersion
	}
	return versions
}

func TestFiveHundredConfigsAreMadeOnceAndARestartWritesNothing(t *testing.T) {
	const many = 500
	w := newWorld(t)
	for i := range many {
		w.config(fmt.Sprintf("rail%d", i), rail)
	}
	f := w.front()
	p := w.start(f.kubeconfig)
	for n := many / 10; n <= many; n += many / 10 { // a slow machine takes more than one wait
		w.logged("network.made", n)
	}
	// Few more: of those that are being made when all configs are read, which brings each again,
	// the watch may not have told yet. The API server has them already then.
	if writes := f.of("network-attachment-definitions"); len(writes) < many || len(writes) > many+many/50 {
		t.Errorf("%d writes for %d networks", len(writes), many)
	}
	w.versions(many)
	w.stop(p)

	f = w.front()
	w.start(f.kubeconfig)
	w.idle()
	// The one that changes comes behind all others, which were looked at by then.
	w.config("rail7", strings.Replace(rail, "0x1000", "0x2000", 1))
	w.becomes("rail7", "0x2000")
	w.idle()
	if writes := f.of(""); len(writes) != 1 {
		t.Errorf("a controller that finds all but one as it should be wrote: %q", writes)
	}
}

// idle waits until a leader that leads has found time for three summaries more.
func (w *world) idle() {
	w.t.Helper()
	seen := len(w.lines("summary"))
	testbed.Eventually(w.t, "summaries come", func() (bool, string) { return len(w.lines("summary")) >= seen+3, "" })
}

func TestACrashedWorkersLeftoversAreDeletedByTheNext(t *testing.T) {
	w := newWorld(t)
	p := w.start("")
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	w.stop(p)
	// Nobody looks while one config goes and another makes a network of another name.
	w.config("renamed", rail)
	w.deleteConfig("rail")
	w.start("")
	w.becomes("renamed", "0x1000")
	w.goes("rail")
}

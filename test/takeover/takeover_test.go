package takeover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// howMany pods ib-kubernetes has configured when ibfabric takes over.
const howMany = 500

func podName(i int) string { return fmt.Sprintf("p%03d", i) }

// TestIBFabricTakesOverFromIBKubernetesAndBack is the life of a cluster that changes its
// mind: what each of the two configured, the other one goes on with.
func TestIBFabricTakesOverFromIBKubernetesAndBack(t *testing.T) {
	peer := ibKubernetes(t)
	w := newWorld(t)
	w.makeNetworks()
	w.makePods()

	theirs := w.ibKubernetes(peer)
	ours := w.ibfabric()
	w.waitsBesideIBKubernetes(ours)
	w.kubeletsSayRunning()
	w.inUFM()

	before := w.picture()
	w.scaleDown(theirs)
	// At once: pods that came later might be given what these have.
	ours.says("leader.adopted", fmt.Sprintf(`"count":%d`, len(before.living())))
	w.adopted(before)
	w.serves("new")
	w.unchangedSince(before)
	w.honoursDeletions("p001", "p002", "p003", "p004", "p025", "new-0")
	w.adopted(w.picture()) // what these had is held by now

	ours.stop()
	before = w.picture()
	theirs = w.ibKubernetes(peer)
	w.serves("back")
	w.unchangedSince(before)
	w.honoursDeletions("p006", "p007", "p008", "p009", "p050", "new-1", "new-2", "new-3", "new-4", "back-0")
	w.serves("late")
	// The others stay Pending: of their GUIDs, which were held, UFM is witness enough.
	w.run("late-", "back-3", "back-8")

	w.scaleDown(theirs)
	before = w.picture()
	w.inherited(before)
	w.delete("p011", "new-6", "new-7") // while nobody looks
	ours = w.ibfabric()
	ours.says("leader.adopted")
	w.inUFM()
	w.adopted(w.picture())
	if in, out := w.changed(before.journal); len(in) > 0 || len(out) != 3 {
		t.Errorf("three pods went, and UFM was asked to take in %v and to let go %v", in, out)
	}
	w.serves("again")
	if n := ours.count("guid.freed") + ours.count("guid.conflict"); n > 0 {
		t.Errorf("%d GUIDs were freed or called taken, with a hold of an hour and no pod that lies", n)
	}
}

// makePods makes them before anybody watches, as a cluster has them.
func (w *world) makePods() {
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := c; i < howMany; i += 8 {
				w.pod(podName(i), w.annotation(i))
			}
		})
	}
	clients.Wait()
}

// waitsBesideIBKubernetes sees ibfabric do nothing, and say why, all the time that
// ib-kubernetes needs for its pods.
func (w *world) waitsBesideIBKubernetes(ours *process) {
	w.t.Helper()
	ours.says("incumbent.found", "deployment "+w.ns+"/ib-kubernetes", "--replicas=0")
	if got := ours.ready("/readyz"); !strings.Contains(got, "[-]ib-kubernetes-is-gone failed") {
		w.t.Errorf("/readyz does not say what is waited for: %s", got)
	}
	if got := ours.ready("/readyz/ib-kubernetes-is-gone"); !strings.Contains(got, "kubectl -n "+w.ns+" scale deployment ib-kubernetes --replicas=0") {
		w.t.Errorf("/readyz/ib-kubernetes-is-gone names no mend: %s", got)
	}
	w.configured()
	if n := ours.count("incumbent.found"); n != 1 {
		w.t.Errorf("why it waits was said %d times", n)
	}
	if n := ours.count("leader."); n > 0 {
		w.t.Error("it looks like a leader that works")
	}
	if n := w.ours.changes.Load(); n > 0 {
		w.t.Errorf("it asked UFM for %d changes", n)
	}
	if n := len(w.rows(v1alpha1.Assigned)); n > 0 {
		w.t.Errorf("it wrote %d rows into the ledger", n)
	}
}

// kubeletsSayRunning lets most pods run, as they do once they are configured, and some end.
func (w *world) kubeletsSayRunning() {
	w.t.Helper()
	phases := map[corev1.PodPhase][]corev1.Pod{}
	for name, p := range w.pods() {
		switch {
		case strings.HasSuffix(name, "99"):
			phases[corev1.PodSucceeded] = append(phases[corev1.PodSucceeded], p)
		case strings.HasSuffix(name, "0"):
			// not yet
		default:
			phases[corev1.PodRunning] = append(phases[corev1.PodRunning], p)
		}
	}
	for phase, pods := range phases {
		w.setPhase(phase, pods...)
	}
}

// run lets pods run whose names begin so.
func (w *world) run(prefixes ...string) {
	w.t.Helper()
	for name, p := range w.pods() {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			w.setPhase(corev1.PodRunning, p)
		}
	}
}

// picture is the cluster and UFM at a moment.
type picture struct {
	pods    map[string]corev1.Pod
	owners  map[guid.GUID]holding
	journal int // entries of UFM's journal
}

func (w *world) picture() picture {
	w.t.Helper()
	pods := w.pods()
	return picture{pods, w.holdings(pods), len(w.sim.Journal())}
}

// living are the owners whose pods are not over.
func (p picture) living() map[guid.GUID]holding {
	owners := maps.Clone(p.owners)
	maps.DeleteFunc(owners, func(_ guid.GUID, h holding) bool {
		pod := p.pods[h.Pod]
		return pod.Status.Phase == corev1.PodSucceeded
	})
	return owners
}

// adopted compares the ledger with what the pods have, those that are over aside.
func (w *world) adopted(p picture) {
	w.t.Helper()
	want := p.living()
	testbed.Eventually(w.t, "the ledger has what the pods have", func() (bool, string) {
		diff := cmp.Diff(want, w.rows(v1alpha1.Assigned))
		return diff == "", diff
	})
}

// inherited sees that the ledger is out of date as it can be: ib-kubernetes has given to
// new pods what was held when ibfabric stopped, and what had another owner then.
func (w *world) inherited(p picture) {
	w.t.Helper()
	for _, state := range []v1alpha1.RowState{v1alpha1.Held, v1alpha1.Assigned} {
		n := 0
		for g, h := range w.rows(state) {
			if now, used := p.owners[g]; used && now.UID != h.UID {
				n++
			}
		}
		if n == 0 {
			w.t.Errorf("ib-kubernetes used none of the GUIDs again that the ledger calls %s: this test proves less than it says", state)
		}
	}
}

// serves makes pods on every network, and waits until they are configured with GUIDs that
// nobody else has. Nobody else's members are touched for them.
func (w *world) serves(name string) {
	w.t.Helper()
	before := w.picture()
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("%s-%d", name, i))
		w.pod(names[i], w.annotation(i))
	}
	w.configured(names...)
	w.inUFM()
	in, out := w.changed(before.journal)
	for _, g := range slices.Concat(in, out) {
		if h, ok := before.owners[g]; ok {
			w.t.Errorf("for new pods UFM was asked to change %s, which pod %s has", g, h.Pod)
		}
	}
}

// unchangedSince sees that UFM and the pods are as they were, new ones aside: also those
// that wait for their CNI, whose PKey ib-kubernetes v1.1.1 did not write down.
func (w *world) unchangedSince(before picture) {
	w.t.Helper()
	now := w.picture()
	for g, h := range before.owners {
		if diff := cmp.Diff(h, now.owners[g]); diff != "" {
			w.t.Errorf("guid %s changed hands:\n%s", g, diff)
		}
	}
	patched := 0
	for name, p := range before.pods {
		if p.ResourceVersion != now.pods[name].ResourceVersion {
			patched++
		}
	}
	if patched > 0 {
		w.t.Errorf("%d pods were patched that have all they need", patched)
	}
	in, out := w.changed(before.journal)
	for _, g := range slices.Concat(in, out) {
		if h, ok := before.owners[g]; ok {
			w.t.Errorf("UFM was asked to change %s, which pod %s has", g, h.Pod)
		}
	}
}

// honoursDeletions deletes pods, whose members go, and nobody else's.
func (w *world) honoursDeletions(names ...string) {
	w.t.Helper()
	before := w.picture()
	w.delete(names...)
	w.inUFM()
	_, out := w.changed(before.journal)
	for _, g := range out {
		if h := before.owners[g]; !slices.Contains(names, h.Pod) {
			w.t.Errorf("UFM was asked to let go of %s, which pod %q has", g, h.Pod)
		}
	}
}

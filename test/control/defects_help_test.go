package control

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// inNamespace makes a network of this fabric in another namespace.
func (w *world) inNamespace(ns, name, pkeyText string) {
	w.t.Helper()
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns, Name: name, Labels: map[string]string{"fabric": w.ns},
	}}
	nad.Spec.Config = fmt.Sprintf(`{"cniVersion":"0.3.1","type":"ib-sriov","pkey":%q}`, pkeyText)
	if err := w.api.Create(w.ctx(), nad); err != nil {
		w.t.Fatal(err)
	}
}

// annotated gives a pod its networks annotation as text.
func annotated(format string, args ...any) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(format, args...)}
	}
}

// reannotate changes the annotations of a pod that is there, as its owner would.
func (w *world) reannotate(name string, change func(map[string]string)) {
	w.t.Helper()
	w.edit(name, func(p *corev1.Pod) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		change(p.Annotations)
	})
}

// told counts what UFM was told of a GUID: how often to let it in, and out.
func (w *world) told(g guid.GUID) (adds, removes int) {
	for _, e := range w.sim.Journal() {
		if !slices.ContainsFunc(e.Members, func(m pkey.Member) bool { return m.GUID == g }) {
			continue
		}
		switch e.Op {
		case ufmsim.OpAdd:
			adds++
		case ufmsim.OpRemove:
			removes++
		}
	}
	return adds, removes
}

// undisturbed fails when UFM was told more of a live pod's GUID than to let it in, once.
func (w *world) undisturbed(guids ...guid.GUID) {
	w.t.Helper()
	for _, g := range guids {
		if adds, removes := w.told(g); adds != 1 || removes != 0 {
			w.t.Errorf("UFM was told of %s: %d adds and %d removes, want one add", g, adds, removes)
		}
	}
}

// notConfigured fails when the controller let a pod go on.
func (w *world) notConfigured(name string) {
	w.t.Helper()
	if lines := w.saidOf(name, "pod.configured"); len(lines) > 0 {
		w.t.Errorf("%s was let go on: %v", name, lines)
	}
}

// saidOf are the log lines of a pod, with one of these events if some are given.
func (w *world) saidOf(name string, events ...string) []map[string]any {
	var list []map[string]any
	for _, line := range w.lines() {
		if line["pod"] == w.ns+"/"+name && (len(events) == 0 || slices.Contains(events, fmt.Sprint(line["event"]))) {
			list = append(list, line)
		}
	}
	return list
}

// loggedOnce wants exactly one line of an event of a pod. The line may come after the patch
// that it tells of.
func (w *world) loggedOnce(name, event string) {
	w.t.Helper()
	w.logged(event, w.ns+"/"+name+" ")
	if lines := w.saidOf(name, event); len(lines) != 1 {
		w.t.Errorf("%s: %s was said %d times: %v", name, event, len(lines), lines)
	}
}

// lead starts a controller that keeps its lease on a machine that is slow for a while:
// nobody starts it again when it loses it. One that is stopped lets it go at once.
func (w *world) lead(env []string, flags ...string) *process {
	w.t.Helper()
	return w.startWith(env, append([]string{"--lease-duration=1m", "--lease-renew=50s", "--sync-period=300ms"}, flags...)...)
}

// quick are flags of a leader that is to be killed or paused: the next one need not wait long for
// its place.
func quick() []string {
	return []string{"--lease-duration=8s", "--lease-renew=7s", "--lease-retry=200ms"}
}

// liveHeap is what the last garbage collection left of a controller's heap, in MB: its
// gctrace says before->after->live.
func (w *world) liveHeap() int {
	w.t.Helper()
	live := regexp.MustCompile(`\d+->\d+->(\d+) MB`)
	var mb int
	testbed.Eventually(w.t, "a garbage collection", func() (bool, string) {
		all := live.FindAllStringSubmatch(w.said()[0], -1)
		if len(all) == 0 {
			return false, ""
		}
		mb, _ = strconv.Atoi(all[len(all)-1][1])
		return true, ""
	})
	return mb
}

// guidsOf is configured for a pod of another namespace.
func (w *world) guidsOf(pod client.ObjectKey) []guid.GUID {
	w.t.Helper()
	there := w.within(w.t)
	there.ns = pod.Namespace
	return there.configured(pod.Name)
}

// within is the same world for a sub-test, without the controllers' logs.
func (w *world) within(t testing.TB) *world {
	return &world{t: t, bed: w.bed, api: w.api, ns: w.ns, sim: w.sim, ufm: w.ufm}
}

// someRounds waits until the controller has read all of UFM a few times more, and looked
// at whatever it looks at again by itself.
func (w *world) someRounds() {
	w.t.Helper()
	before := w.sim.Calls()[ufmsim.OpList]
	testbed.Eventually(w.t, "a few rounds pass", func() (bool, string) {
		return w.sim.Calls()[ufmsim.OpList] >= before+5, ""
	})
}

// inUFMOf waits until element i of a pod is configured and UFM shows it in a partition.
func (w *world) inUFMOf(name string, i int, p pkey.PKey) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("element %d of %s is configured", i+1, name), func() (bool, string) {
		return w.elements(name)[i].Configured, w.get(name).Annotations[attach.NetworksAnnotation]
	})
	w.inUFM(p, w.elements(name)[i].GUID)
}

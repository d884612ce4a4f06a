package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// Rule 9: no input can panic a process or stop the work for others, and whatever waits
// or is refused says why, once. Each of these tests gives one controller all that people
// get wrong in one kind of object, side by side with somebody who got it right.

// longest is what an Event or a log line may take of a text that somebody wrote, in
// bytes: the text itself is in the object.
const longest = 2048

// under tells a part of the story in a sub-test.
func (w *world) under(t *testing.T, name string, story func()) {
	t.Run(name, func(t *testing.T) {
		whole := w.t
		w.t = t
		defer func() { w.t = whole }()
		story()
	})
}

// rewrite writes a pod's networks annotation, as its owner would.
func (w *world) rewrite(pod, networks string) {
	w.t.Helper()
	w.edit(pod, func(p *corev1.Pod) { p.Annotations = map[string]string{attach.NetworksAnnotation: networks} })
}

// fine makes one more pod of somebody who got everything right, and wants it served: the
// others did not stop the work.
func (w *world) fine() {
	w.t.Helper()
	const p = 0x7000
	n := len(w.members(p))
	if n == 0 {
		w.network("fine", "0x7000")
	}
	name := fmt.Sprintf("fine-%d", n)
	w.pod(name, "fine")
	g := w.configured(name)[0]
	if have := w.members(p); len(have) != n+1 || !slices.Contains(have, g) {
		w.t.Errorf("%s has %s, and UFM shows %v", name, g, have)
	}
}

// reasons are the different Events on a pod, as "reason: message". Tests share a cluster,
// and of a text that is not JSON every fabric's controller says the same.
func (w *world) reasons(pod string) []string {
	w.t.Helper()
	list, err := w.bed.Client().CoreV1().Events(w.ns).List(w.ctx(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range list.Items {
		if e.InvolvedObject.Name == pod {
			all = append(all, e.Reason+": "+e.Message)
			if e.Series != nil {
				w.t.Errorf("it was said %d times to %s: %s", e.Series.Count, pod, e.Message)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// saidOnce wants exactly one Event on a pod, which names the mend, and one log line.
func (w *world) saidOnce(pod, reason, mend string) {
	w.t.Helper()
	w.event(pod, reason, mend)
	var lines []string
	// The Event may be another test's controller's, which the pod's owner cannot tell apart.
	testbed.Eventually(w.t, "the log says it too", func() (bool, string) {
		lines = w.linesOf(pod)
		return len(lines) > 0, ""
	})
	if all := slices.DeleteFunc(w.reasons(pod), w.isOthers); len(all) != 1 {
		w.t.Errorf("%d Events for one fault:\n%s", len(all), strings.Join(all, "\n"))
	}
	if len(lines) != 1 {
		w.t.Errorf("%d log lines for one fault:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// isOthers reports whether an Event is of another test's controller, to which a pod may come
// before its network: ours has no such line in its log.
func (w *world) isOthers(event string) bool {
	_, message, _ := strings.Cut(event, ": ")
	message = strings.TrimSuffix(message, "…") // a long one is cut
	return strings.Contains(message, "does not exist") &&
		!slices.ContainsFunc(w.lines(), func(line map[string]any) bool { return strings.Contains(fmt.Sprint(line["err"]), message) })
}

// linesOf are the log lines that say of a pod what is wrong. None of any pod may be long.
func (w *world) linesOf(pod string) (lines []string) {
	w.t.Helper()
	for _, line := range w.lines() {
		// guid.conflict is the same for whoever runs the controller, with the other's name.
		if line["pod"] == w.ns+"/"+pod && line["err"] != nil && line["event"] != "guid.conflict" {
			lines = append(lines, fmt.Sprintf("%.300s", fmt.Sprint(line)))
		}
		if text := fmt.Sprint(line); len(text) > longest {
			w.t.Errorf("a log line of %d bytes: %.300s", len(text), text)
		}
	}
	return lines
}

// unharmed wants the controller to be the one that began, and to have had no panic.
func (w *world) unharmed(p *process) {
	w.t.Helper()
	select {
	case <-p.end:
		w.t.Error("the controller ended")
	default:
	}
	for _, text := range w.said() {
		if strings.Contains(text, "panic") {
			w.t.Error("the controller panicked")
		}
	}
}

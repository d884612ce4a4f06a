package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

// history is what the API server's watch told of the pods, and when we did what could
// end one.
type history struct {
	gate      string
	chronicle *chronicle

	mu     sync.Mutex // protects what follows
	lives  map[types.UID]*life
	owners map[guid.GUID][]*tenure // in order of time
	broken []violation             // as they were seen
}

// life is one pod's.
type life struct {
	podState
	created time.Time          // by the API server, cut to the second
	mayEnd  time.Time          // before this it lived for certain; zero: nobody tried to end it
	endedAt time.Time          // when the watch said so
	gated   bool               // it came with our gate
	tenures map[string]*tenure // by interface
	told    string             // what the chronicle was told of it last
}

// podState is what the one who makes trouble needs to know of a pod.
type podState struct {
	uid  types.UID
	name string
	// gone: there is no such pod. ended: that, or its phase says that it is finished.
	gone, ended, terminating, finalizer, configured, running bool
	node                                                     string // "": it was never bound
}

// tenure is an interface of a pod that was said to be configured.
type tenure struct {
	life    *life
	element attach.Element
	from    time.Time // not before the pod was patched
}

func (t *tenure) String() string {
	return fmt.Sprintf("%s of pod %s (%s)", t.element.Interface, t.life.name, t.life.uid)
}

func newHistory(gate string, c *chronicle) *history {
	return &history{gate: gate, chronicle: c, lives: map[types.UID]*life{}, owners: map[guid.GUID][]*tenure{}}
}

// present are the pods that exist, as far as was heard.
func (h *history) present() []podState {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []podState
	for _, l := range h.lives {
		if !l.gone {
			list = append(list, l.podState)
		}
	}
	slices.SortFunc(list, func(a, b podState) int { return cmp.Compare(a.name, b.name) })
	return list
}

// mayEnd notes that a pod can be over from now on: somebody is about to end it.
func (h *history) mayEnd(uid types.UID, at time.Time, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lives[uid]; l != nil && l.mayEnd.IsZero() {
		l.mayEnd = at
		h.chronicle.ofPod(uid, "pod %s (%s) %s", l.name, uid, why)
	}
}

// replace takes a list of all pods: who is not in it has ended.
func (h *history) replace(pods []corev1.Pod) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[types.UID]bool{}
	for i := range pods {
		there[pods[i].UID] = true
	}
	for uid, l := range h.lives {
		if !there[uid] {
			h.end(l, now, true)
		}
	}
	// Ends before beginnings: a GUID may have changed hands unseen.
	for i := range pods {
		if isFinished(&pods[i]) {
			h.take(&pods[i], now)
		}
	}
	for i := range pods {
		h.take(&pods[i], now)
	}
}

func (h *history) see(pod *corev1.Pod, deleted bool) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.take(pod, now)
	if deleted {
		h.end(h.lives[pod.UID], now, true)
	}
}

// end is for a caller that holds the lock.
func (h *history) end(l *life, now time.Time, gone bool) {
	if !l.ended {
		l.ended, l.endedAt = true, now
	}
	if gone && !l.gone {
		l.gone = true
		h.chronicle.ofPod(l.uid, "pod %s (%s) is gone", l.name, l.uid)
	}
}

// take is for a caller that holds the lock.
func (h *history) take(pod *corev1.Pod, now time.Time) {
	l := h.lives[pod.UID]
	if l == nil {
		l = &life{created: pod.CreationTimestamp.Time, tenures: map[string]*tenure{}, gated: hasGate(pod, h.gate)}
		l.uid, l.name = pod.UID, pod.Name
		h.lives[pod.UID] = l
	}
	l.terminating = pod.DeletionTimestamp != nil
	l.finalizer = len(pod.Finalizers) > 0
	l.node, l.running = pod.Spec.NodeName, pod.Status.Phase == corev1.PodRunning
	if isFinished(pod) {
		h.end(l, now, false)
	}
	elements, err := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	if err != nil {
		h.breaks(now, 0, l, "contract: pod %s: its annotation cannot be read any more: %v", pod.Name, err)
		return
	}
	if text := describe(pod, elements); text != l.told {
		l.told = text
		h.chronicle.ofPod(l.uid, "pod %s (%s): %s", l.name, l.uid, text)
	}
	h.takeElements(l, elements, now)
	if l.gated && !l.configured && !hasGate(pod, h.gate) {
		h.breaks(now, 0, l, "rule 3: pod %s (%s) lost its gate at %s and is not configured", l.name, l.uid, clock(now))
	}
}

func (h *history) takeElements(l *life, elements []attach.Element, now time.Time) {
	done := 0
	for _, e := range elements {
		if !e.Configured {
			continue
		}
		done++
		switch t := l.tenures[e.Interface]; {
		case e.Err != nil:
			h.breaks(now, e.GUID, l, "contract: pod %s (%s): %s cannot be read any more: %v", l.name, l.uid, e.Interface, e.Err)
		case t == nil:
			h.begin(&tenure{life: l, element: e, from: now})
		case t.element.GUID != e.GUID || !sameClaims(t.element.Recorded, e.Recorded):
			h.breaks(now, e.GUID, l, "rule 5: %s had %s in %v and has %s in %v since %s",
				t, t.element.GUID, t.element.Recorded, e.GUID, e.Recorded, clock(now))
		}
	}
	if done > 0 && done < len(elements) {
		h.breaks(now, 0, l, "rule 3: pod %s (%s) is configured by half at %s", l.name, l.uid, clock(now))
	}
	l.configured = done > 0
}

// begin notes an owner of a GUID, who must be the only one (rule 1).
func (h *history) begin(t *tenure) {
	g := t.element.GUID
	t.life.tenures[t.element.Interface] = t
	for _, other := range h.owners[g] {
		if !other.life.ended && !t.life.ended {
			h.breaks(t.from, g, t.life, "rule 1: %s was given to %s at %s; it is that of %s since %s",
				g, t, clock(t.from), other, clock(other.from))
		}
	}
	h.owners[g] = append(h.owners[g], t)
}

func (h *history) breaks(at time.Time, g guid.GUID, l *life, format string, args ...any) {
	h.broken = append(h.broken, violation{at, g, l.uid, fmt.Sprintf(format, args...)})
}

// describe is a pod in a line: its state, and what its interfaces have.
func describe(pod *corev1.Pod, elements []attach.Element) string {
	var b strings.Builder
	b.WriteString(cmp.Or(string(pod.Status.Phase), "Pending"))
	if pod.DeletionTimestamp != nil {
		b.WriteString(", terminating")
	}
	for _, g := range pod.Spec.SchedulingGates {
		b.WriteString(", gate " + g.Name)
	}
	if pod.Spec.NodeName != "" {
		b.WriteString(", on " + pod.Spec.NodeName)
	}
	for _, e := range elements {
		switch {
		case e.Configured:
			fmt.Fprintf(&b, "; %s configured as %s in %s", e.Interface, e.GUID, attach.FormatClaims(e.Recorded))
		case e.GUID != 0:
			fmt.Fprintf(&b, "; %s asks for %s on %s", e.Interface, e.GUID, e.Network.Name)
		default:
			fmt.Fprintf(&b, "; %s asks for %s", e.Interface, e.Network.Name)
		}
	}
	return b.String()
}

func isFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func hasGate(pod *corev1.Pod, gate string) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == gate })
}

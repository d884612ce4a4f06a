package controller

import (
	"regexp"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// notes remember what was said, so that whatever waits says why once.
type notes struct {
	mu   sync.Mutex // protects both maps
	said map[string]map[string]bool
	pods map[types.NamespacedName]map[types.UID]bool // that something was said of, under their UID
	// varies are the parts of a text that differ each time: counts, ports, GUIDs.
	varies *regexp.Regexp
}

func newNotes() *notes {
	return &notes{said: map[string]map[string]bool{}, pods: map[types.NamespacedName]map[types.UID]bool{}, varies: regexp.MustCompile(`\b[0-9a-fA-F.:]*[0-9][0-9a-fA-F.:]*\b`)}
}

// once reports whether text was not yet said of about, numbers aside.
func (n *notes) once(about, text string) bool {
	return n.exactly(about, n.varies.ReplaceAllString(text, "#"))
}

// exactly is once for a text whose numbers are the news.
func (n *notes) exactly(about, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.say(about, text)
}

// onceTo is once for a pod.
func (n *notes) onceTo(pod types.NamespacedName, uid types.UID, text string) bool {
	text = n.varies.ReplaceAllString(text, "#")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods[pod] == nil {
		n.pods[pod] = map[types.UID]bool{}
	}
	n.pods[pod][uid] = true
	return n.say(string(uid), text)
}

func (n *notes) say(about, text string) bool {
	if n.said[about][text] {
		return false
	}
	if n.said[about] == nil || len(n.said[about]) > 8 {
		n.said[about] = map[string]bool{} // somebody keeps changing its mind: do not grow
	}
	n.said[about][text] = true
	return true
}

// forget makes everything about something news again.
func (n *notes) forget(about string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.said, about)
}

// forgetPods drops what was said of pods of a name that are over.
func (n *notes) forgetPods(pod types.NamespacedName, over func(types.UID) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid := range n.pods[pod] {
		if over(uid) {
			delete(n.said, string(uid))
			delete(n.pods[pod], uid)
		}
	}
	if len(n.pods[pod]) == 0 {
		delete(n.pods, pod)
	}
}

// ofPods are the names of pods that something was said of which are over.
func (n *notes) ofPods(over func(types.NamespacedName, types.UID) bool) (names []types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for pod, uids := range n.pods {
		for uid := range uids {
			if over(pod, uid) {
				names = append(names, pod)
				break
			}
		}
	}
	return names
}

// isOver reports whether nothing can be said of a pod any more: it is gone or finished,
// and so are its rows, whose partitions may have had something to say until then.
func (c *Controller) isOver(pod types.NamespacedName, uid types.UID) bool {
	return !c.podCache.lives(pod, uid) && len(c.ledger.OfPod(uid)) == 0
}

// forgetOver forgets what was said of pods of a name that are over, now being the one that
// is there, if any. It is for the pod's own worker: from another place it might come
// between two words that are the same.
func (c *Controller) forgetOver(name types.NamespacedName, now *corev1.Pod) {
	over := func(uid types.UID) bool {
		lives := now != nil && now.UID == uid && !isFinished(now)
		return !lives && len(c.ledger.OfPod(uid)) == 0
	}
	c.notes.forgetPods(name, over)
	c.reasons.forget(name, over)
}

// tell says something to a pod, once.
func (c *Controller) tell(pod *corev1.Pod, e record.Event, f record.Fields) {
	c.say(pod, e, f, false)
}

// say is tell; ofRow is for what UFM does with what the pod has already.
func (c *Controller) say(pod *corev1.Pod, e record.Event, f record.Fields, ofRow bool) {
	f.Pod, f.UID = keyOf(pod), pod.UID
	c.reasons.set(Reason{f.Pod, f.UID, e, said(f), c.now()}, ofRow)
	if c.notes.onceTo(f.Pod, f.UID, string(e)+said(f)) {
		c.rec.Tell(pod, e, f)
	}
}

// tellRow says something to the pod of a row, once.
func (c *Controller) tellRow(r ledger.Row, e record.Event, f record.Fields) {
	about := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: r.UID}}
	f.Interfaces = []string{r.Interface}
	c.say(about, e, f, true)
}

func said(f record.Fields) string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return f.Detail
}

// refusals are the members that UFM refused lately.
type refusals struct {
	mu    sync.Mutex // protects until
	until map[member]time.Time
}

type member struct {
	p pkey.PKey
	g guid.GUID
}

func (r *refusals) add(p pkey.PKey, g guid.GUID, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until[member{p, g}] = until
}

// prune forgets what is over.
func (r *refusals) prune(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m, until := range r.until {
		if now.After(until) {
			delete(r.until, m)
		}
	}
}

// without leaves out those of guids that were refused lately, and says when the first
// of them may be tried again.
func (r *refusals) without(p pkey.PKey, guids []guid.GUID, now time.Time) (left []guid.GUID, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range guids {
		until, refused := r.until[member{p, g}]
		if refused && now.Before(until) {
			again = soonest(again, until.Sub(now))
			continue
		}
		delete(r.until, member{p, g})
		left = append(left, g)
	}
	return left, again
}

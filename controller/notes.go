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
	mu   sync.Mutex // protects said
	said map[string]map[string]bool
	// varies are the parts of a text that differ each time: counts, ports, GUIDs.
	varies *regexp.Regexp
}

func newNotes() *notes {
	return &notes{said: map[string]map[string]bool{}, varies: regexp.MustCompile(`\b[0-9a-fA-F.:]*[0-9][0-9a-fA-F.:]*\b`)}
}

// once reports whether text was not yet said of about, numbers aside.
func (n *notes) once(about, text string) bool {
	return n.exactly(about, n.varies.ReplaceAllString(text, "#"))
}

// exactly is once for a text whose numbers are the news.
func (n *notes) exactly(about, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
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

// tell says something to a pod, once.
func (c *Controller) tell(pod *corev1.Pod, e record.Event, f record.Fields) {
	f.Pod, f.UID = keyOf(pod), pod.UID
	if c.notes.once(string(pod.UID), string(e)+said(f)) {
		c.rec.Tell(pod, e, f)
	}
}

// tellRow says something to the pod of a row, once.
func (c *Controller) tellRow(r ledger.Row, e record.Event, f record.Fields) {
	about := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: r.UID}}
	f.Interfaces = []string{r.Interface}
	c.tell(about, e, f)
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

// patchedPods are the pods that were patched lately, and what they became.
type patchedPods struct {
	mu       sync.Mutex // protects versions
	versions map[types.UID]string
}

func (p *patchedPods) set(uid types.UID, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.versions[uid] = version
}

// known reports whether a pod was let go on by this leader.
func (p *patchedPods) known(uid types.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.versions[uid]
	return ok
}

func (p *patchedPods) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.versions, uid)
}

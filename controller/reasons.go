package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/record"
)

// Reason is why a pod has not what it asked for: the last word that it was told.
type Reason struct {
	Pod   types.NamespacedName
	UID   types.UID
	Event record.Event
	Text  string
	Since time.Time // it was told this first
}

// reasons are those of the pods that have one.
type reasons struct {
	mu sync.Mutex // protects by
	by map[types.NamespacedName]map[types.UID]*reason
}

type reason struct {
	Reason
	row   bool // it is about what UFM does with a row, not about what the pod asks for
	stale bool // the pod has been looked at since, and was not told it again
}

func newReasons() *reasons {
	return &reasons{by: map[types.NamespacedName]map[types.UID]*reason{}}
}

// isReason reports whether an event says why a pod has not what it asked for.
func isReason(e record.Event) bool {
	switch e {
	case record.PodWaiting, record.PodRefused, record.PodIgnored, record.UFMRejected, record.GUIDConflict:
		return true
	}
	return false
}

// set notes what a pod is told, once or again.
func (r *reasons) set(to Reason, row bool) {
	if !isReason(to.Event) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[to.Pod] == nil {
		r.by[to.Pod] = map[types.UID]*reason{}
	}
	if was := r.by[to.Pod][to.UID]; was != nil && was.Event == to.Event && was.Text == to.Text {
		was.stale = false
		return
	}
	r.by[to.Pod][to.UID] = &reason{Reason: to, row: row}
}

// passed notes that a pod asks for nothing that could not be given by now.
func (r *reasons) passed(pod types.NamespacedName, uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.by[pod][uid]; was != nil && !was.row {
		was.stale = true
	}
}

// forget drops what pods of a name were told, of those that are over.
func (r *reasons) forget(pod types.NamespacedName, over func(types.UID) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid := range r.by[pod] {
		if over(uid) {
			delete(r.by[pod], uid)
		}
	}
	if len(r.by[pod]) == 0 {
		delete(r.by, pod)
	}
}

// of is what a pod was told last.
func (r *reasons) of(pod types.NamespacedName, uid types.UID) (Reason, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.by[pod][uid]; was != nil && !was.stale {
		return was.Reason, true
	}
	return Reason{}, false
}

func (r *reasons) all() (list []Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pods := range r.by {
		for _, of := range pods {
			if !of.stale {
				list = append(list, of.Reason)
			}
		}
	}
	return list
}

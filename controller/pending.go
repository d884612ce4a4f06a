package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

// pending are the pods that have rows and were not let go on yet, by the partitions they
// wait for. Whoever learns something of a partition wakes them from here: what wakes a
// pod is the state that it waits for, not the call that brought it about.
type pending struct {
	mu     sync.Mutex // protects what follows
	pods   map[types.NamespacedName][]pkey.PKey
	first  map[types.NamespacedName]time.Time               // when it came here; creation counts in seconds
	byPKey map[pkey.PKey]map[types.NamespacedName]time.Time // since when
}

func newPending() *pending {
	return &pending{
		pods: map[types.NamespacedName][]pkey.PKey{}, first: map[types.NamespacedName]time.Time{},
		byPKey: map[pkey.PKey]map[types.NamespacedName]time.Time{},
	}
}

// add notes that a pod waits for partitions, since it was made.
func (n *pending) add(pod types.NamespacedName, partitions []pkey.PKey, since, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(pod)
	if _, known := n.first[pod]; !known {
		n.first[pod] = now
	}
	n.pods[pod] = partitions
	for _, p := range partitions {
		if n.byPKey[p] == nil {
			n.byPKey[p] = map[types.NamespacedName]time.Time{}
		}
		n.byPKey[p][pod] = since
	}
}

// forget drops a pod that waits no longer, and says since when it was here.
func (n *pending) forget(pod types.NamespacedName) (first time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first = n.first[pod]
	delete(n.first, pod)
	n.drop(pod)
	return first
}

func (n *pending) drop(pod types.NamespacedName) {
	for _, p := range n.pods[pod] {
		delete(n.byPKey[p], pod)
		if len(n.byPKey[p]) == 0 {
			delete(n.byPKey, p)
		}
	}
	delete(n.pods, pod)
}

// of are the pods that wait for a partition.
func (n *pending) of(p pkey.PKey) []types.NamespacedName {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]types.NamespacedName, 0, len(n.byPKey[p]))
	for pod := range n.byPKey[p] {
		list = append(list, pod)
	}
	return list
}

// all are the pods that wait for anything.
func (n *pending) all() []types.NamespacedName {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]types.NamespacedName, 0, len(n.pods))
	for pod := range n.pods {
		list = append(list, pod)
	}
	return list
}

// podSet is a set of pods that somebody wakes.
type podSet struct {
	mu   sync.Mutex // protects pods
	pods map[types.NamespacedName]bool
}

func newPodSet() *podSet { return &podSet{pods: map[types.NamespacedName]bool{}} }

func (s *podSet) add(pod types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods[pod] = true
}

// take empties the set.
func (s *podSet) take() []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []types.NamespacedName
	for pod := range s.pods {
		list = append(list, pod)
	}
	clear(s.pods)
	return list
}

// oldest is since when a pod waits for a partition.
func (n *pending) oldest(p pkey.PKey) (first time.Time, waits bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, since := range n.byPKey[p] {
		if !waits || since.Before(first) {
			first, waits = since, true
		}
	}
	return first, waits
}

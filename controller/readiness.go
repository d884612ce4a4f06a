package controller

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// readiness is since when nodes have been Ready, by our clock. What a node's condition says
// is by the node's own: one that is years ahead would keep GUIDs for years, and one that is
// behind would have a node that has only just come back pass for one that never left.
type readiness struct {
	mu   sync.Mutex // protects seen
	seen map[string]readyNode
}

// readyNode is a node that is Ready: since when it said so itself, and since when it counts.
type readyNode struct{ said, since time.Time }

// look takes the nodes as they are now. Each counts since it was first seen Ready by us.
func (r *readiness) look(nodes []corev1.Node, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]readyNode, len(nodes))
	for i := range nodes {
		said, ready := readySince(&nodes[i])
		if !ready {
			continue
		}
		n, known := r.seen[nodes[i].Name]
		if !known || !n.said.Equal(said) {
			n = readyNode{said: said, since: now}
		}
		next[nodes[i].Name] = n
	}
	r.seen = next
}

// of is since when a node counts as Ready. One that became so after the last look does not
// yet.
func (r *readiness) of(node *corev1.Node) (since time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	said, ready := readySince(node)
	n, known := r.seen[node.Name]
	return n.since, ready && known && n.said.Equal(said)
}

// readySince is what a node says of itself.
func readySince(node *corev1.Node) (time.Time, bool) {
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
			return cond.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

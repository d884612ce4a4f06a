// Package budget keeps the PKey tables of the nodes' HCAs from running over: it counts
// which PKeys each node's pods need, and says where a pod must not go.
//
// A port's table is finite (128 entries on ConnectX, the default PKey's among them). The
// subnet manager drops what does not fit, and the pod that needs it never gets a link.
package budget

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

// Budget counts PKeys by node. A pod that was let go and has no node yet counts on every
// node that it may come to. It is safe for concurrent use.
type Budget struct {
	room int // entries of a table beside the default PKey's

	mu      sync.Mutex // protects all below
	stays   map[types.UID]stay
	nodes   map[string]tally // of pods that have a node
	landing map[pkey.PKey]map[types.UID]bool
	all     tally // of all pods
}

// stay is where a pod is, or may come to be.
type stay struct {
	pkeys []pkey.PKey
	node  string          // "" not known yet
	avoid map[string]bool // nodes that it cannot come to
}

// tally says how many pods need a PKey.
type tally map[pkey.PKey]int

// New makes a Budget for nodes whose tables have that many entries.
func New(entries int) *Budget {
	return &Budget{room: entries - 1, stays: map[types.UID]stay{}, nodes: map[string]tally{}, landing: map[pkey.PKey]map[types.UID]bool{}, all: tally{}}
}

// Land lets a pod go wherever the scheduler likes, if its PKeys fit there whatever it
// chooses, and reports whether they do.
func (b *Budget) Land(pod types.UID, pkeys []pkey.PKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(pod)
	// Where all PKeys of the cluster fit into one table, no node need be looked at.
	if len(b.all)+len(pkeys) > b.room {
		for node := range b.nodes {
			if !b.fits(node, pkeys) {
				return false
			}
		}
		if !b.fits("", pkeys) {
			return false
		}
	}
	b.put(pod, stay{pkeys: pkeys})
	return true
}

// Choose lets a pod go to those of nodes where its PKeys fit, and returns the others. If
// they fit on none, the pod is not let go: ok is false.
func (b *Budget) Choose(pod types.UID, pkeys []pkey.PKey, nodes []string) (avoid []string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(pod)
	shunned := map[string]bool{}
	for _, node := range nodes {
		if !b.fits(node, pkeys) {
			shunned[node] = true
			avoid = append(avoid, node)
		}
	}
	if len(avoid) > 0 && len(avoid) == len(nodes) {
		return nil, false
	}
	b.put(pod, stay{pkeys: pkeys, avoid: shunned})
	return avoid, true
}

// LetGo notes that a pod was let go by somebody else, to wherever.
func (b *Budget) LetGo(pod types.UID, pkeys []pkey.PKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, known := b.stays[pod]
	if known && slices.Equal(s.pkeys, pkeys) {
		return
	}
	b.drop(pod)
	b.put(pod, stay{pkeys: pkeys, avoid: s.avoid}) // what it was kept from it still is
}

// Bound notes that a pod came to a node. If that is news, over is how many entries the
// node's PKeys need beyond those there are.
func (b *Budget) Bound(pod types.UID, pkeys []pkey.PKey, node string) (over int, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, known := b.stays[pod]; known && s.node == node && slices.Equal(s.pkeys, pkeys) {
		return 0, false
	}
	b.drop(pod)
	b.put(pod, stay{pkeys: pkeys, node: node})
	return max(0, len(b.nodes[node])-b.room), true
}

// Gone notes that no node needs a pod's PKeys on its account any more.
func (b *Budget) Gone(pod types.UID) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, news = b.stays[pod]
	b.drop(pod)
	return news
}

// Entries is the size of a node's table, the default PKey's entry among them.
func (b *Budget) Entries() int { return b.room + 1 }

// Use is the PKey table of one node.
type Use struct {
	Node  string
	PKeys []pkey.PKey // that its pods need, in order, beside the default one
	Pods  int
}

// Uses are the tables of the nodes that have pods, in order of name.
func (b *Budget) Uses() []Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	pods := map[string]int{}
	for _, s := range b.stays {
		pods[s.node]++
	}
	uses := make([]Use, 0, len(b.nodes))
	for node, has := range b.nodes {
		uses = append(uses, Use{node, slices.Sorted(maps.Keys(has)), pods[node]})
	}
	slices.SortFunc(uses, func(x, y Use) int { return cmp.Compare(x.Node, y.Node) })
	return uses
}

// fits reports whether a pod with these PKeys can come to a node as well. Most nodes have
// room for all that may come, whatever that is, and need no counting.
func (b *Budget) fits(node string, pkeys []pkey.PKey) bool {
	return len(b.nodes[node])+len(b.landing)+len(pkeys) <= b.room || b.with(node, pkeys) <= b.room
}

// with is how many PKeys a node has to hold if a pod with these comes to it as well; "" is
// a node without pods.
func (b *Budget) with(node string, pkeys []pkey.PKey) int {
	has := b.nodes[node]
	n := len(has)
	for p, pods := range b.landing {
		if has[p] == 0 && b.mayCome(pods, node) {
			n++
		}
	}
	for i, p := range pkeys {
		if has[p] == 0 && !b.mayCome(b.landing[p], node) && !slices.Contains(pkeys[:i], p) {
			n++
		}
	}
	return n
}

// mayCome reports whether one of the pods may come to a node.
func (b *Budget) mayCome(pods map[types.UID]bool, node string) bool {
	for pod := range pods {
		if !b.stays[pod].avoid[node] {
			return true
		}
	}
	return false
}

func (b *Budget) put(pod types.UID, s stay) {
	b.stays[pod] = s
	for _, p := range s.pkeys {
		b.all[p]++
		if s.node == "" {
			if b.landing[p] == nil {
				b.landing[p] = map[types.UID]bool{}
			}
			b.landing[p][pod] = true
			continue
		}
		if b.nodes[s.node] == nil {
			b.nodes[s.node] = tally{}
		}
		b.nodes[s.node][p]++
	}
}

func (b *Budget) drop(pod types.UID) {
	s, known := b.stays[pod]
	if !known {
		return
	}
	delete(b.stays, pod)
	for _, p := range s.pkeys {
		if b.all[p]--; b.all[p] <= 0 {
			delete(b.all, p)
		}
		if s.node == "" {
			if delete(b.landing[p], pod); len(b.landing[p]) == 0 {
				delete(b.landing, p)
			}
			continue
		}
		if b.nodes[s.node][p]--; b.nodes[s.node][p] <= 0 {
			delete(b.nodes[s.node], p)
		}
	}
	if s.node != "" && len(b.nodes[s.node]) == 0 {
		delete(b.nodes, s.node)
	}
}

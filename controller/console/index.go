package console

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Pages of a hundred thousand members come out of lists of keys in order. They are made
// when somebody asks, of keys that are copied under the controller's locks and sorted
// outside of them, and made anew at most once in keepKeys: what is shown of a key is read
// when it is shown.

const (
	keepKeys = time.Second
	// keepTimes bounds what looking costs where lists are long: a list stays for so many
	// times the time that it took to make, or for keepMost: a pause of the machine is no length.
	keepTimes = 20
	keepMost  = 10 * time.Second
	keepLists = 32 // partitions whose lists are kept
	batch     = 1024
)

// keys are the GUIDs of one partition, each list in order.
type keys struct {
	made, until                time.Time
	all                        []guid.GUID
	ours, unclaimed, strangers []guid.GUID
}

// index keeps what is listed in order.
type index struct {
	c   Controller
	now func() time.Time

	mu    sync.Mutex // protects what follows; held while a list is made, so that it is made once
	parts map[pkey.PKey]*keys
	guids kept[[]guid.GUID]
	pods  kept[[]types.NamespacedName]
	waits kept[[]types.NamespacedName]
	sums  kept[*census]
	nodes kept[map[string]*corev1.Node]
}

// kept is something that is made anew when it is old.
type kept[T any] struct {
	value T
	until time.Time
}

// get makes the value where it is old.
func (k *kept[T]) get(now func() time.Time, make func() T) T {
	start := now()
	if start.Before(k.until) {
		return k.value
	}
	k.value = make()
	k.until = keepUntil(start, now())
	return k.value
}

func keepUntil(start, end time.Time) time.Time {
	return end.Add(min(max(keepKeys, keepTimes*end.Sub(start)), keepMost))
}

// oldBy is how long it takes until all that was made up to now is old.
func (x *index) oldBy() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := x.now()
	for _, until := range []time.Time{x.guids.until, x.pods.until, x.waits.until, x.sums.until, x.nodes.until} {
		last = later(last, until)
	}
	for _, k := range x.parts {
		last = later(last, k.until)
	}
	return last.Sub(x.now())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func newIndex(c Controller, now func() time.Time) *index {
	return &index{c: c, now: now, parts: map[pkey.PKey]*keys{}}
}

// of are the GUIDs of a partition.
func (x *index) of(p pkey.PKey) *keys {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.keysOf(p)
}

func (x *index) keysOf(p pkey.PKey) *keys {
	start := x.now()
	if k := x.parts[p]; k != nil && start.Before(k.until) {
		return k
	}
	k := &keys{made: start, ours: sorted(x.c.Rows().GUIDsOf(p))}
	for strange := range slices.Chunk(x.c.ShownIn(p), batch) {
		for _, g := range x.c.Rows().Without(p, strange) {
			if x.c.InRange(g) {
				k.unclaimed = append(k.unclaimed, g)
			} else {
				k.strangers = append(k.strangers, g)
			}
		}
	}
	slices.Sort(k.unclaimed)
	slices.Sort(k.strangers)
	k.all = k.ours
	if len(k.unclaimed)+len(k.strangers) > 0 {
		k.all = sorted(slices.Concat(k.ours, k.unclaimed, k.strangers))
	}
	k.until = keepUntil(start, x.now())
	if x.parts[p] = k; len(x.parts) > keepLists {
		x.dropOldest()
	}
	return k
}

func (x *index) dropOldest() {
	var oldest pkey.PKey
	for p, k := range x.parts {
		if o := x.parts[oldest]; o == nil || k.made.Before(o.made) {
			oldest = p
		}
	}
	delete(x.parts, oldest)
}

// allGUIDs are those of the ledger.
func (x *index) allGUIDs() []guid.GUID {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.guids.get(x.now, func() []guid.GUID { return sorted(x.c.Rows().GUIDs()) })
}

// allPods are the pods that have rows, and those that wait for some or were refused.
func (x *index) allPods() []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pods.get(x.now, func() []types.NamespacedName {
		all := x.c.Rows().Pods()
		for _, r := range x.c.Reasons() {
			all = append(all, r.Pod)
		}
		return sortedPods(all)
	})
}

// waitingPods are those that wait, or were told why they get nothing.
func (x *index) waitingPods() []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waits.get(x.now, func() (all []types.NamespacedName) {
		for _, w := range x.c.Waits() {
			all = append(all, w.Pod)
		}
		for _, r := range x.c.Reasons() {
			all = append(all, r.Pod)
		}
		return sortedPods(all)
	})
}

// allNodes are the cluster's, by name.
func (x *index) allNodes() map[string]*corev1.Node {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nodesByName()
}

func (x *index) nodesByName() map[string]*corev1.Node {
	return x.nodes.get(x.now, func() map[string]*corev1.Node {
		list, err := x.c.Nodes(context.Background()) // a cache: there is nothing to wait for
		if err != nil {
			return nil // it has not been filled yet
		}
		byName := make(map[string]*corev1.Node, len(list))
		for i := range list {
			byName[list[i].Name] = &list[i]
		}
		return byName
	})
}

func sortedPods(all []types.NamespacedName) []types.NamespacedName {
	slices.SortFunc(all, comparePods)
	return slices.Compact(all)
}

func comparePods(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func sorted(list []guid.GUID) []guid.GUID {
	slices.Sort(list)
	return list
}

// page are up to limit of a list in order behind an item, and whether there are more.
func page[T any](list []T, behind T, from bool, limit int, compare func(T, T) int) (items []T, more bool) {
	i := 0
	if from {
		at, found := slices.BinarySearchFunc(list, behind, compare)
		if i = at; found {
			i++
		}
	}
	end := min(len(list), i+limit)
	return list[i:end], end < len(list)
}

package controller

import (
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/pkey"
)

// quota counts the members of partitions that have a bound. A GUID counts from its row on
// until UFM was seen without it: what is leaving takes up room, what is held does not.
type quota struct {
	mu     sync.Mutex // protects counts, and keeps others out while a pod gets its rows
	counts map[pkey.PKey]int
}

func newQuota() *quota { return &quota{counts: map[pkey.PKey]int{}} }

// forget has the rows counted again when somebody asks next.
func (q *quota) forget(of ...pkey.PKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range of {
		delete(q.counts, p)
	}
}

// forgetAll is forget for every partition.
func (q *quota) forgetAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.counts)
}

// count is how many members a partition has; q.mu is held. Rows are counted once, and then
// as they come: there are thousands in one partition when a job starts.
func (q *quota) count(p pkey.PKey, l *ledger.Ledger) int {
	n, known := q.counts[p]
	if !known {
		for _, r := range l.OfPKey(p) {
			if r.State != ledger.Held {
				n++
			}
		}
		q.counts[p] = n
	}
	return n
}

// fullError says that a partition has no room for what a pod needs of it.
type fullError struct {
	partition     string
	pkey          pkey.PKey
	in, need, max int
}

func (e *fullError) Error() string {
	if e.never() {
		return fmt.Sprintf("the pod needs %d GUIDs in Partition %s (pkey %s), which takes %d at most: name fewer networks of it, or ask its owner for a higher spec.maxMembers", e.need, e.partition, e.pkey, e.max)
	}
	return fmt.Sprintf("Partition %s (pkey %s) has %d of %d members, and the pod needs %d: it gets on when others have left, or its owner raises spec.maxMembers", e.partition, e.pkey, e.in, e.max, e.need)
}

// never reports whether the pod would be too big for an empty partition.
func (e *fullError) never() bool { return e.need > e.max }

// admit sees to it that all the interfaces that a pod is about to get fit into their
// partitions. A pod with a part of its GUIDs would keep others out for nothing, so that it
// is all or none: until done is called with the rows that were made, no other pod gets into
// a partition that has a bound.
func (c *Controller) admit(pod *corev1.Pod, entering []want) (done func([]ledger.Row), err error) {
	need := c.needs(entering)
	if len(need) == 0 {
		return func([]ledger.Row) {}, nil
	}
	c.quota.mu.Lock()
	for p, n := range need {
		terms, _ := c.grants.Terms(p)
		if in := c.quota.count(p, c.ledger); terms.MaxMembers > 0 && in+n > terms.MaxMembers {
			c.barred.add(keyOf(pod), p) // before whoever makes room can look who waits
			c.quota.mu.Unlock()
			return nil, &fullError{terms.Partition, p, in, n, terms.MaxMembers}
		}
	}
	return func(made []ledger.Row) {
		defer c.quota.mu.Unlock()
		for _, r := range made {
			for _, claim := range r.Claims {
				if need[claim.PKey] > 0 {
					c.quota.counts[claim.PKey]++
				}
			}
		}
	}, nil
}

// needs is how many GUIDs interfaces put into each partition that has a bound.
func (c *Controller) needs(entering []want) map[pkey.PKey]int {
	var need map[pkey.PKey]int
	for _, w := range entering {
		for _, claim := range w.net.Claims {
			if terms, ok := c.grants.Terms(claim.PKey); !ok || terms.MaxMembers == 0 {
				continue
			}
			if need == nil {
				need = map[pkey.PKey]int{}
			}
			need[claim.PKey]++
		}
	}
	return need
}

// left notes that partitions have fewer members than before, and wakes the pods that wait
// for room in them.
func (c *Controller) left(of ...pkey.PKey) {
	c.quota.forget(of...)
	for _, key := range c.barred.take(func(p pkey.PKey) bool { return p != 0 && slices.Contains(of, p) }) {
		c.pods.Add(key)
	}
	for _, p := range of {
		c.changed(p)
	}
}

// leftBy is left for all partitions of some rows.
func (c *Controller) leftBy(rows ...ledger.Row) {
	var all []pkey.PKey
	for _, r := range rows {
		all = append(all, r.Partitions()...)
	}
	slices.Sort(all)
	c.left(slices.Compact(all)...)
}

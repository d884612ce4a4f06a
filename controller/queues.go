package controller

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// The two queues, of pods and of partitions, are the whole concurrency. Batches come of
// coalescing: while UFM answers one call, all that comes for that PKey is one key.

// limits of the backoff of a key that keeps failing.
const (
	backoffMin = 250 * time.Millisecond
	backoffMax = 10 * time.Second
)

func newQueue[T comparable](name string, order workqueue.Queue[T]) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](backoffMin, backoffMax),
		workqueue.TypedRateLimitingQueueConfig[T]{
			Name: name,
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{
				Name:  name,
				Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Queue: order}),
			}),
		})
}

// work takes keys from a queue until it shuts down. do says when the key wants to be
// looked at again; a key that fails comes back with its own backoff and stops nobody.
func work[T comparable](ctx context.Context, rec *record.Recorder, q workqueue.TypedRateLimitingInterface[T], do func(context.Context, T) (time.Duration, error)) {
	for {
		key, stop := q.Get()
		if stop {
			return
		}
		again, err := guard(ctx, key, do)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			rec.Log(record.WorkFailed, record.Fields{Detail: fmt.Sprint(key), Attempt: q.NumRequeues(key) + 1, Err: err})
			q.AddRateLimited(key)
		default:
			q.Forget(key)
			if again > 0 {
				q.AddAfter(key, again)
			}
		}
		q.Done(key)
	}
}

// guard turns a panic into an error: no pod, NAD or answer may stop the work for others.
func guard[T comparable](ctx context.Context, key T, do func(context.Context, T) (time.Duration, error)) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic at %v: %v\n%s", key, p, debug.Stack())
		}
	}()
	return do(ctx, key)
}

// idleWeight is how long a partition without a waiting pod stands back behind those
// that have one; after that it gets its turn.
const idleWeight = 30 * time.Second

// oldestFirst orders the partition queue: the PKey whose pod waits longest comes first,
// since changes to one UFM run one at a time.
type oldestFirst struct {
	mu    sync.Mutex // protects waits; items are under the workqueue's lock
	waits map[pkey.PKey]time.Time
	items []pkey.PKey
	now   func() time.Time
}

func newOldestFirst(now func() time.Time) *oldestFirst {
	return &oldestFirst{waits: map[pkey.PKey]time.Time{}, now: now}
}

// wait notes since when a pod waits for p.
func (o *oldestFirst) wait(p pkey.PKey, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.waits[p]; !ok || since.Before(have) {
		o.waits[p] = since
	}
}

// Touch implements workqueue.Queue.
func (o *oldestFirst) Touch(pkey.PKey) {}

// Push implements workqueue.Queue.
func (o *oldestFirst) Push(p pkey.PKey) {
	o.items = append(o.items, p)
	o.wait(p, o.now().Add(idleWeight))
}

// Len implements workqueue.Queue.
func (o *oldestFirst) Len() int { return len(o.items) }

// Pop implements workqueue.Queue. What is noted of the key from now on is for its next turn.
func (o *oldestFirst) Pop() pkey.PKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := 0
	for i, p := range o.items {
		if o.waits[p].Before(o.waits[o.items[first]]) {
			first = i
		}
	}
	p := o.items[first]
	o.items[first] = o.items[len(o.items)-1]
	o.items = o.items[:len(o.items)-1]
	delete(o.waits, p)
	return p
}

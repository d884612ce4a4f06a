package controller

import (
	"context"
	"errors"
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
		newBackoff[T](),
		workqueue.TypedRateLimitingQueueConfig[T]{
			Name: name,
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{
				Name:  name,
				Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Queue: order}),
			}),
		})
}

// work takes keys from a queue until it shuts down or ctx ends. do says when the key
// wants to be looked at again; a key that fails comes back with its own backoff and
// stops nobody. heard gets every outcome.
func work[T comparable](ctx context.Context, q workqueue.TypedRateLimitingInterface[T], do func(context.Context, T) (time.Duration, error), heard func(T, int, error)) {
	for {
		key, stop := q.Get()
		if stop {
			return
		}
		if ctx.Err() != nil { // told to stop: what is queued is the next leader's
			q.Done(key)
			return
		}
		again, err := guard(ctx, key, do)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			heard(key, q.NumRequeues(key)+1, err)
			q.AddRateLimited(key)
		default:
			heard(key, 0, nil)
			q.Forget(key)
			if again > 0 {
				q.AddAfter(key, again)
			}
		}
		q.Done(key)
	}
}

// heard logs that a key failed, once until it fails otherwise or succeeds. While UFM is away
// that is what fails, and has been said; what fails still when it is back has not.
func heard[T comparable](c *Controller) func(T, int, error) {
	return func(key T, attempt int, err error) {
		about := fmt.Sprintf("work %v", key)
		switch {
		case err == nil:
			c.notes.forget(about)
		case errors.Is(err, errStale):
		case isFabricError(err) && c.health.isDown():
		case c.notes.once(about, err.Error()):
			c.rec.Log(record.WorkFailed, record.Fields{Detail: fmt.Sprint(key), Attempt: attempt, Err: err})
		}
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
	items  []pkey.PKey // like pushed, under the workqueue's lock
	pushed map[pkey.PKey]time.Time
	served map[pkey.PKey]time.Time // when it had its last turn
	now    func() time.Time
	oldest func(pkey.PKey) (time.Time, bool) // since when a pod waits for it
}

func newOldestFirst(now func() time.Time, oldest func(pkey.PKey) (time.Time, bool)) *oldestFirst {
	return &oldestFirst{pushed: map[pkey.PKey]time.Time{}, served: map[pkey.PKey]time.Time{}, now: now, oldest: oldest}
}

// Touch implements workqueue.Queue.
func (o *oldestFirst) Touch(pkey.PKey) {}

// Push implements workqueue.Queue.
func (o *oldestFirst) Push(p pkey.PKey) {
	o.items = append(o.items, p)
	o.pushed[p] = o.now()
}

// Len implements workqueue.Queue.
func (o *oldestFirst) Len() int { return len(o.items) }

// Pop implements workqueue.Queue.
func (o *oldestFirst) Pop() pkey.PKey {
	first, earliest := 0, o.since(o.items[0])
	for i, p := range o.items[1:] {
		if since := o.since(p); since.Before(earliest) {
			first, earliest = i+1, since
		}
	}
	p := o.items[first]
	o.items[first] = o.items[len(o.items)-1]
	o.items = o.items[:len(o.items)-1]
	delete(o.pushed, p)
	o.served[p] = o.now()
	return p
}

// since is when a partition came to wait; without a pod that waits it stands back. A pod
// that its partition cannot help, turn after turn, does not keep the others from theirs.
func (o *oldestFirst) since(p pkey.PKey) time.Time {
	if since, ok := o.oldest(p); ok {
		return later(since, o.served[p])
	}
	return o.pushed[p].Add(idleWeight)
}

// backoff is how long a key that failed rests: twice as long each time. One that is asked for
// again before it has rested, as a partition is for each pod that comes, and fails again, rests
// as long as it would have: else a blip of UFM in a burst of pods would end in the longest rest.
type backoff[T comparable] struct {
	workqueue.TypedRateLimiter[T]
	mu  sync.Mutex
	due map[T]time.Time
}

func newBackoff[T comparable]() *backoff[T] {
	return &backoff[T]{
		TypedRateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[T](backoffMin, backoffMax),
		due:              map[T]time.Time{},
	}
}

// When implements workqueue.TypedRateLimiter.
func (b *backoff[T]) When(key T) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := time.Until(b.due[key]); left > 0 {
		return left
	}
	rest := b.TypedRateLimiter.When(key)
	b.due[key] = time.Now().Add(rest)
	return rest
}

// Forget implements workqueue.TypedRateLimiter.
func (b *backoff[T]) Forget(key T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.due, key)
	b.TypedRateLimiter.Forget(key)
}

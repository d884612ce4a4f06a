package multus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/ibfabric/ibfabric/controller/record"
)

// The backoff of a key that keeps failing. What the API server refuses again and again,
// a network of a namespace without a grant for instance, is asked for seldom.
const (
	backoffMin = 250 * time.Millisecond
	backoffMax = 5 * time.Minute
)

type queue = workqueue.TypedRateLimitingInterface[types.NamespacedName]

func newQueue(name string) queue {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](backoffMin, backoffMax),
		workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: name},
	)
}

// worker does the keys of a queue, some at a time, each with its own backoff.
type worker struct {
	queue  queue
	record *record.Recorder
	said   said
	do     func(context.Context, types.NamespacedName) error
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context, atATime int) {
	stop := context.AfterFunc(ctx, w.queue.ShutDown)
	defer stop()
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	all.Wait()
}

func (w *worker) next(ctx context.Context) bool {
	key, stop := w.queue.Get()
	if stop {
		return false
	}
	defer w.queue.Done(key)
	if ctx.Err() != nil { // what is left is the next leader's
		return true
	}
	err := guard(func() error { return w.do(ctx, key) })
	var soon tooSoon
	switch {
	case errors.As(err, &soon):
		w.queue.AddAfter(key, time.Duration(soon))
	case err == nil:
		w.said.forget(key, record.WorkFailed)
		w.queue.Forget(key)
	case ctx.Err() == nil:
		if w.said.once(key, record.WorkFailed, err.Error()) {
			w.record.Log(record.WorkFailed, record.Fields{Config: key, Attempt: w.queue.NumRequeues(key) + 1, Err: err})
		}
		w.queue.AddRateLimited(key)
	}
	return true
}

// guard turns a panic into an error: no object may stop the work for others.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// said remembers what was last said of whom, so that it is said once. Its zero value
// remembers nothing.
type said struct {
	mu    sync.Mutex // protects words
	words map[types.NamespacedName]map[record.Event]string
}

// once reports whether that is news.
func (s *said) once(key types.NamespacedName, e record.Event, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.words[key][e]; ok && last == text {
		return false
	}
	if s.words == nil {
		s.words = map[types.NamespacedName]map[record.Event]string{}
	}
	if s.words[key] == nil {
		s.words[key] = map[record.Event]string{}
	}
	s.words[key][e] = text
	return true
}

// has reports whether anything was said.
func (s *said) has(key types.NamespacedName, e record.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.words[key][e]
	return ok
}

// forget makes all of these news again.
func (s *said) forget(key types.NamespacedName, events ...record.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		delete(s.words[key], e)
	}
	if len(s.words[key]) == 0 {
		delete(s.words, key)
	}
}

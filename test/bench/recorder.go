package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/bench/internal/podwatch"
	"github.com/ibfabric/ibfabric/test/programs"
)

// recorder notes what the API server's watch tells of the pods of a world. That is when
// others (a kubelet, say) learn of it, and the same clock for all contenders.
type recorder struct {
	interfaces int // of a pod, to be configured

	mu         sync.Mutex // protects what follows
	pods       map[string]*seen
	configured int
	err        error // of the watch
	first      time.Time
	last       time.Time
	news       chan struct{} // has one after each pod that became configured
}

type seen struct {
	text       string
	created    time.Time
	took       time.Duration
	patches    int
	configured bool
}

func (w *world) record(ctx context.Context) (*recorder, error) {
	events, err := podwatch.Open(ctx, w.api.CoreV1().Pods(w.ns))
	if err != nil {
		return nil, err
	}
	r := &recorder{interfaces: w.Interfaces, pods: map[string]*seen{}, news: make(chan struct{}, 1)}
	go func() {
		err := events.Run(ctx, func(kind watch.EventType, pod *corev1.Pod) error {
			if kind != watch.Deleted {
				r.see(pod, time.Now())
			}
			return nil
		})
		r.mu.Lock()
		r.err = err
		r.mu.Unlock()
	}()
	return r, nil
}

func (r *recorder) see(pod *corev1.Pod, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := pod.Annotations[attach.NetworksAnnotation]
	p := r.pods[pod.Name]
	if p == nil {
		p = &seen{text: text, created: now}
		r.pods[pod.Name] = p
		if r.first.IsZero() {
			r.first = now
		}
	}
	if p.text != text {
		p.text = text
		p.patches++
	}
	if p.configured || strings.Count(text, `"configured"`) < r.interfaces {
		return
	}
	p.configured, p.took = true, now.Sub(p.created)
	r.configured++
	r.last = now
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// progress is how many pods are configured.
func (r *recorder) progress() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.configured, r.err
}

// until waits for a number of configured pods; false means that the time was over first.
func (r *recorder) until(ctx context.Context, n int, watch *programs.Process) (bool, error) {
	for {
		have, err := r.progress()
		if err != nil || have >= n {
			return have >= n, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-watch.Done():
			return false, watch.Ended()
		case <-r.news:
		}
	}
}

// count is how many pods were made.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pods)
}

// patches is how many patches all pods got together.
func (r *recorder) patches() (sum int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pods {
		sum += p.patches
	}
	return sum
}

// summarize puts what was seen of the pods into a result.
func (r *recorder) summarize(to *Result, oneByOne bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var took []time.Duration
	patches := 0
	for _, p := range r.pods {
		patches += p.patches
		if p.configured {
			took = append(took, p.took)
		}
	}
	to.Configured = r.configured
	if len(r.pods) > 0 {
		to.PatchesPerPod = float64(patches) / float64(len(r.pods))
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	to.P50Seconds = percentile(took, 50).Seconds()
	to.P99Seconds = percentile(took, 99).Seconds()
	to.Create.Seconds = r.last.Sub(r.first).Seconds()
	if oneByOne {
		to.Create.Seconds = to.P50Seconds
	}
}

// percentile is the smallest value that is no less than n percent of a sorted list.
func percentile(sorted []time.Duration, n int) time.Duration {
	return sorted[max(0, (len(sorted)*n+99)/100-1)]
}

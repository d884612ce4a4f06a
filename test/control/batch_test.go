package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// ufmChange is what a change costs in a UFM that has a fabric behind it.
const ufmChange = 200 * time.Millisecond

func slow(c *ufmsim.Config) { c.Timing.Change = ufmChange }

func TestAThousandPodsAreOneAddForAllThatWaitForAPKey(t *testing.T) {
	w := newWorldAlone(t, slow)
	const pods, pkeys = 1000, 10
	for i := range pkeys {
		w.network(fmt.Sprintf("rail%d", i), (pkey.PKey(0x100) + pkey.PKey(i)).String())
	}
	watch := w.watchPatches()
	w.lead(nil, "--ufm-timeout=30s") // a call that is given up is sent again
	w.logged("leader.adopted", "")
	w.createPods(pods, func(i int) string { return fmt.Sprintf("rail%d", i%pkeys) })
	watch.untilConfigured(pods)

	adds := map[pkey.PKey][]ufmsim.Entry{}
	members := 0
	for _, e := range w.sim.Journal() {
		if e.Op == ufmsim.OpAdd {
			adds[e.PKey] = append(adds[e.PKey], e)
			members += len(e.Members)
		}
	}
	if members != pods {
		t.Errorf("%d GUIDs were sent for %d pods: something was sent twice", members, pods)
	}
	// The next Add of a PKey holds all that came while the last one of any PKey ran: so
	// a PKey's Adds never overlap, and there are no more than passes over all PKeys
	// while pods still came.
	for p, list := range adds {
		for i := 1; i < len(list); i++ {
			if list[i].Received.Before(list[i-1].Changed) {
				t.Errorf("pkey %s: two Adds at a time", p)
			}
		}
	}
	if twice := watch.patchedTwice(); len(twice) > 0 {
		t.Errorf("%d pods were patched more than once, as %s", len(twice), twice[0])
	}
	t.Logf("%d pods took %d Adds", pods, len(w.sim.Journal()))
}

func TestPodsThatWaitAreOneAddAPKey(t *testing.T) {
	w := newWorldAlone(t)
	w.network("a", "0x5")
	w.network("b", "0x6")
	w.createPods(200, func(i int) string { return []string{"a", "b"}[i%2] })
	watch := w.watchPatches()
	w.startHeldUp(200, func() {}) // all of them wait when it begins
	watch.untilConfigured(200)
	sizes := map[pkey.PKey][]int{}
	for _, e := range w.sim.Journal() {
		sizes[e.PKey] = append(sizes[e.PKey], len(e.Members))
	}
	for p, adds := range sizes {
		// The first pod of a PKey starts a call; all others are in the next.
		if len(adds) > 2 {
			t.Errorf("pkey %s took Adds of %v", p, adds)
		}
	}
}

func TestTwentyPodsWithEightVFsTakeTwoAdds(t *testing.T) {
	w := newWorldAlone(t)
	w.network("rail", "0x5")
	watch := w.watchPatches()
	w.startHeldUp(20, func() {
		w.createPods(20, func(int) string { return strings.Repeat("rail,", 7) + "rail" })
	})
	watch.untilConfigured(20)
	var sizes []int
	for _, e := range w.sim.Journal() {
		sizes = append(sizes, len(e.Members))
	}
	if len(sizes) > 2 {
		t.Errorf("160 GUIDs took Adds of %v", sizes)
	}
	if twice := watch.patchedTwice(); len(twice) > 0 {
		t.Errorf("patched more than once: %v", twice)
	}
}

// startHeldUp starts a controller before a UFM that takes no change until so many pods have come
// and have their GUIDs: how soon that is depends on the machine, and all but the first must go
// along in the calls that come next.
func (w *world) startHeldUp(pods int, come func()) {
	w.t.Helper()
	f, env := w.ufmFront()
	assigned := make(chan struct{})
	f.stepIn(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			select {
			case <-assigned:
			case <-w.ctx().Done():
			}
		}
		return false
	})
	w.lead(env, "--ufm-timeout=2m") // longer than anybody waits here: a call that is given up is sent again
	w.logged("leader.adopted", "")
	come()
	testbed.Eventually(w.t, fmt.Sprintf("%d pods have their GUIDs", pods), func() (bool, string) {
		n := len(w.logOf("pod.assigned"))
		return n >= pods, fmt.Sprintf("%d have", n)
	})
	close(assigned)
}

// createPods makes pods from eight clients at once, as a Job controller's workers do.
func (w *world) createPods(n int, networks func(int) string) {
	w.t.Helper()
	cfg := w.bed.Config()
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	api, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				if _, err := api.CoreV1().Pods(w.ns).Create(w.ctx(), bare(w.ns, fmt.Sprintf("p%d", i), networks(i)), metav1.CreateOptions{}); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func bare(ns, name, networks string) *corev1.Pod {
	atOnce, no := int64(0), false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{attach.NetworksAnnotation: networks}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &atOnce, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}
}

// patches is what the API server's watch tells of the pods of a world.
type patches struct {
	w  *world
	mu sync.Mutex // protects what follows
	// changes counts how often a pod's annotation changed; done holds when it was
	// first configured, and created when it came.
	changes       map[string]int
	text          map[string]string
	created, done map[string]time.Time
	arrived       chan string
}

func (w *world) watchPatches() *patches {
	w.t.Helper()
	p := &patches{w: w, changes: map[string]int{}, text: map[string]string{}, created: map[string]time.Time{}, done: map[string]time.Time{}, arrived: make(chan string, 1<<16)}
	ctx, cancel := context.WithCancel(w.ctx())
	w.t.Cleanup(cancel)
	pods := w.bed.Client().CoreV1().Pods(w.ns)
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range list.Items {
		p.see(&list.Items[i])
	}
	// A watch that a busy API server ends is taken up where it ended.
	watch, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &toolscache.ListWatch{WatchFuncWithContext: pods.Watch})
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for e := range watch.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				p.see(pod)
			}
		}
	}()
	return p
}

func (p *patches) see(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	text := pod.Annotations[attach.NetworksAnnotation]
	old, known := p.text[pod.Name]
	p.text[pod.Name] = text
	if !known {
		p.created[pod.Name] = now
	} else if old != text {
		p.changes[pod.Name]++
	}
	if _, done := p.done[pod.Name]; !done && strings.Contains(text, `"configured"`) {
		p.done[pod.Name] = now
		p.arrived <- pod.Name
	}
}

// untilConfigured has patience for each hundred pods: how soon all of them are depends on the
// machine.
func (p *patches) untilConfigured(n int) {
	p.w.t.Helper()
	for want := min(100, n); ; want = min(want+100, n) {
		testbed.Eventually(p.w.t, fmt.Sprintf("%d of %d pods are configured", want, n), func() (bool, string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.done) >= want, fmt.Sprintf("%d are", len(p.done))
		})
		if want == n {
			return
		}
	}
}

func (p *patches) patchedTwice() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for name, n := range p.changes {
		if n > 1 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// BenchmarkOnePod measures what ibfabric adds to UFM's own time, from a pod's creation
// to the moment a watcher sees it configured. Nothing of it is asserted.
func BenchmarkOnePod(b *testing.B) {
	w := newWorldAlone(b, slow)
	w.network("rail1", "0x5")
	watch := w.watchPatches()
	w.start("--log-level=info", "--sync-period=1m")
	w.logged("leader.adopted", "")
	var took []time.Duration
	for i := range max(b.N, 20) {
		name := fmt.Sprintf("p%d", i)
		start := time.Now()
		w.bed.CreatePod(b, w.ns, name, func(p *corev1.Pod) {
			p.Annotations = map[string]string{attach.NetworksAnnotation: "rail1"}
		})
		for <-watch.arrived != name {
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]-ufmChange), "ms-over-UFM(p50)")
	b.ReportMetric(ms(took[len(took)*99/100]-ufmChange), "ms-over-UFM(p99)")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkThousandPods measures 1,000 pods on 10 PKeys, against what a bare loop of
// the same UFM calls and patches takes in the same run.
func BenchmarkThousandPods(b *testing.B) {
	for range b.N {
		w := newWorldAlone(b, slow)
		const pods, pkeys = 1000, 10
		for i := range pkeys {
			w.network(fmt.Sprintf("rail%d", i), (pkey.PKey(0x100) + pkey.PKey(i)).String())
		}
		watch := w.watchPatches()
		w.start("--log-level=info", "--sync-period=1m")
		w.logged("leader.adopted", "")
		start := time.Now()
		w.createPods(pods, func(i int) string { return fmt.Sprintf("rail%d", i%pkeys) })
		created := time.Since(start)
		watch.untilConfigured(pods)
		b.ReportMetric(time.Since(start).Seconds(), "s-all")
		b.ReportMetric(created.Seconds(), "s-creating")
		b.ReportMetric(float64(len(w.sim.Journal())), "UFM-adds")
	}
	b.ReportMetric(0, "ns/op")
}

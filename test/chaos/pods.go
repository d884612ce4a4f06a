package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

const (
	pinEvery  = 10 // pods with names that far apart pin a GUID
	finalizer = "ibfabric.io/chaos"
	// callLimit bounds one call to an API server that may be paused.
	callLimit = 4 * second
)

// pods makes pods and ends them. Whether a call that failed did something is not known
// here: the watch tells.
type pods struct {
	kube  kubernetes.Interface
	ns    string
	gate  string
	most  int // alive at a time
	names int
	pins  guid.Range // one GUID a name, so that two pods never pin the same
	seen  *history
}

// each does something for several pods, eight at a time.
func each[T any](ctx context.Context, list []T, do func(context.Context, T) error) (done int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	work := make(chan T)
	for range 8 {
		wg.Go(func() {
			for item := range work {
				call, cancel := context.WithTimeout(ctx, callLimit)
				if do(call, item) == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
				cancel()
			}
		})
	}
	for _, item := range list {
		work <- item
	}
	close(work)
	wg.Wait()
	return done
}

func (p *pods) create(ctx context.Context, n int, dice *rand.Rand) (done int) {
	taken := map[string]bool{}
	for _, l := range p.seen.present() {
		taken[l.name] = true
	}
	var list []*corev1.Pod
	for _, i := range dice.Perm(p.names) {
		pod := p.draw(i, dice)
		if len(list) >= min(n, p.most-len(taken)) {
			break
		}
		if !taken[pod.Name] {
			list = append(list, pod)
		}
	}
	return each(ctx, list, func(ctx context.Context, pod *corev1.Pod) error {
		_, err := p.kube.CoreV1().Pods(p.ns).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// draw makes up the pod of a name.
func (p *pods) draw(i int, dice *rand.Rand) *corev1.Pod {
	atOnce, no := int64(0), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: fmt.Sprintf("p%03d", i)},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &atOnce, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}
	pod.Annotations = map[string]string{attach.NetworksAnnotation: p.asks(i, dice)}
	switch dice.IntN(6) {
	case 0, 1:
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: p.gate}}
	case 2, 3, 4:
		pod.Spec.NodeName = nodeNames()[dice.IntN(len(nodeNames()))]
	}
	if dice.IntN(6) == 0 {
		pod.Finalizers = []string{finalizer}
	}
	return pod
}

// asks is what a pod wants: one network, one several times, several, or a GUID of its own.
func (p *pods) asks(i int, dice *rand.Rand) string {
	rail := networkName(dice.IntN(networkCount))
	if i%pinEvery == 0 {
		return fmt.Sprintf(`[{"name":%q,"cni-args":{"guid":%q}}]`, rail, p.pins.First+guid.GUID(i/pinEvery))
	}
	other := networkName(dice.IntN(networkCount))
	switch dice.IntN(9) {
	case 0:
		return strings.Join([]string{rail, rail, rail, rail}, ",")
	case 1:
		return rail + "," + other + "@ib7"
	case 2:
		return fmt.Sprintf(`[{"name":%q,"interface":"ib0"},{"name":%q,"namespace":%q}]`, rail, other, p.ns)
	}
	return rail
}

// some picks pods that the watch shows, in an order that the dice give.
func (p *pods) some(n int, dice *rand.Rand, fit func(podState) bool) []podState {
	var list []podState
	for _, l := range p.seen.present() {
		if fit(l) {
			list = append(list, l)
		}
	}
	dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:max(0, min(n, len(list)))]
}

func (p *pods) remove(ctx context.Context, n int, dice *rand.Rand) (done int) {
	return p.removeWhere(ctx, n, dice, func(s podState) bool { return !s.terminating })
}

func (p *pods) removeWhere(ctx context.Context, n int, dice *rand.Rand, fit func(podState) bool) (done int) {
	list := p.some(n, dice, fit)
	return each(ctx, list, func(ctx context.Context, s podState) error {
		if !s.finalizer {
			p.seen.mayEnd(s.uid, time.Now(), "is to be deleted")
		}
		atOnce := int64(0)
		return p.kube.CoreV1().Pods(p.ns).Delete(ctx, s.name, metav1.DeleteOptions{
			GracePeriodSeconds: &atOnce, Preconditions: &metav1.Preconditions{UID: &s.uid},
		})
	})
}

// collect deletes once more what is terminating and has nothing to wait for: an API server that
// is killed in the midst of a deletion leaves such pods. In a cluster the garbage collector of
// pods does this, a part of the controller-manager, which there is none of here.
func (p *pods) collect(ctx context.Context) {
	p.removeWhere(ctx, p.names, Step{}.random(), func(s podState) bool { return s.terminating && !s.finalizer })
}

// removeOf deletes a share of a node's pods, in percent.
func (p *pods) removeOf(ctx context.Context, node string, percent int, dice *rand.Rand) (done int) {
	here := func(s podState) bool { return s.node == node && !s.terminating }
	n := 0
	for _, s := range p.seen.present() {
		if here(s) {
			n++
		}
	}
	return p.removeWhere(ctx, n*percent/100, dice, here)
}

func (p *pods) finish(ctx context.Context, n int, dice *rand.Rand) (done int) {
	list := p.some(n, dice, func(s podState) bool { return !s.ended })
	return each(ctx, list, func(ctx context.Context, s podState) error {
		p.seen.mayEnd(s.uid, time.Now(), "is to finish")
		return p.phase(ctx, s, corev1.PodSucceeded)
	})
}

func (p *pods) run(ctx context.Context, n int, dice *rand.Rand) (done int) {
	list := p.some(n, dice, func(s podState) bool { return s.configured && !s.ended && s.node != "" && !s.running })
	return each(ctx, list, func(ctx context.Context, s podState) error {
		return p.phase(ctx, s, corev1.PodRunning)
	})
}

func (p *pods) phase(ctx context.Context, s podState, phase corev1.PodPhase) error {
	text := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":%q}}`, s.uid, phase)
	_, err := p.kube.CoreV1().Pods(p.ns).Patch(ctx, s.name, types.MergePatchType, text, metav1.PatchOptions{}, "status")
	return err
}

func (p *pods) unfinalize(ctx context.Context, n int, dice *rand.Rand) (done int) {
	list := p.some(n, dice, func(s podState) bool { return s.terminating && s.finalizer })
	return each(ctx, list, func(ctx context.Context, s podState) error {
		p.seen.mayEnd(s.uid, time.Now(), "is to lose its finalizer")
		text := fmt.Appendf(nil, `{"metadata":{"uid":%q,"finalizers":null}}`, s.uid)
		_, err := p.kube.CoreV1().Pods(p.ns).Patch(ctx, s.name, types.MergePatchType, text, metav1.PatchOptions{})
		return err
	})
}

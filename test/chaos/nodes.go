package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// nodeNames are where pods run. No kubelet does: what a node says of itself is ours.
func nodeNames() []string { return []string{"node-a", "node-b", "node-c"} }

// nodes are lost and come back. A pod that ends while its node is lost may run on there:
// its GUID is nobody's until the node has spoken.
type nodes struct {
	bed       *testbed.Cluster
	kube      kubernetes.Interface
	chronicle *chronicle

	mu    sync.Mutex // protects what follows
	ready map[string][]span
	boots map[string][]time.Time
}

// span is a time; to is zero while it lasts.
type span struct{ from, to time.Time }

// long is how long the nodes have been there when a run begins.
const long = time.Hour

func newNodes(bed *testbed.Cluster, c *chronicle) *nodes {
	n := &nodes{bed: bed, chronicle: c, ready: map[string][]span{}, boots: map[string][]time.Time{}}
	if bed != nil {
		n.kube = bed.Client()
	}
	for _, name := range nodeNames() {
		n.ready[name] = []span{{from: time.Now().Add(-long)}}
	}
	return n
}

// furnish makes the nodes, which have been Ready for long.
func (n *nodes) furnish(ctx context.Context) error {
	for _, name := range nodeNames() {
		if err := n.bed.CreateNode(ctx, name, readySince(time.Now().Add(-long))); err != nil {
			return err
		}
	}
	return nil
}

func readySince(t time.Time) func(*corev1.Node) {
	return func(node *corev1.Node) {
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(t),
		}}
	}
}

// hitNode loses a node for a while, and as many of its pods, in percent, are deleted by
// force, as those do who cannot wait for it.
func (w *world) hitNode(ctx context.Context, s Step, dice *rand.Rand) error {
	name := nodeNames()[dice.IntN(len(nodeNames()))]
	if err := w.nodes.lose(ctx, s, name); err != nil {
		return err
	}
	w.counts.add(PodsDelete, w.pods.removeOf(ctx, name, s.N, dice))
	pause(ctx, s.For)
	return w.nodes.back(ctx, name, s.Kind)
}

// lose takes a node away: it is no longer Ready, or its object is gone.
func (n *nodes) lose(ctx context.Context, s Step, name string) error {
	n.leaves(name, time.Now())
	n.chronicle.say("%s is lost: %s", name, s.Kind)
	err := n.persist(ctx, func(ctx context.Context) error {
		if s.Kind == NodeDelete {
			return ignoreMissing(n.kube.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}))
		}
		return n.say(ctx, name, corev1.ConditionUnknown, "")
	})
	if err != nil {
		return fmt.Errorf("lose %s: %w", name, err)
	}
	return nil
}

// back brings a node back as it was, or as one that has booted.
func (n *nodes) back(ctx context.Context, name string, kind Kind) error {
	now := time.Now()
	boot := ""
	if kind != NodeLose {
		boot = string(uuid.NewUUID())
	}
	err := n.persist(ctx, func(ctx context.Context) error {
		if kind != NodeDelete {
			return n.say(ctx, name, corev1.ConditionTrue, boot)
		}
		err := n.bed.CreateNode(ctx, name, readySince(now), func(node *corev1.Node) { node.Status.NodeInfo.BootID = boot })
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("bring %s back: %w", name, err)
	}
	n.returns(name, now, boot != "")
	n.chronicle.say("%s is back", name)
	return nil
}

// say writes whether a node is Ready since now, and its boot unless that is "".
func (n *nodes) say(ctx context.Context, name string, ready corev1.ConditionStatus, boot string) error {
	info := ""
	if boot != "" {
		info = fmt.Sprintf(`"nodeInfo":{"bootID":%q},`, boot)
	}
	text := fmt.Appendf(nil, `{"status":{%s"conditions":[{"type":"Ready","status":%q,"lastTransitionTime":%q}]}}`,
		info, ready, time.Now().UTC().Format(time.RFC3339))
	_, err := n.kube.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, text, metav1.PatchOptions{}, "status")
	return err
}

// persist tries until the API server, which has its own troubles, has taken it.
func (n *nodes) persist(ctx context.Context, do func(context.Context) error) (err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); pause(ctx, 200*milli) {
		call, cancel := context.WithTimeout(ctx, callLimit)
		err = do(call)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (n *nodes) leaves(name string, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.ready[name]
	list[len(list)-1].to = at
}

func (n *nodes) returns(name string, at time.Time, booted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready[name] = append(n.ready[name], span{from: at})
	if booted {
		n.boots[name] = append(n.boots[name], at)
	}
}

const (
	// heard is how long the controllers may take to hear that a node is lost, what with
	// the API server's troubles: less than the hold time, or nothing could be judged.
	heard = 3 * second
	// cut is what times in the API lose, which are whole seconds.
	cut = second
)

// spoke reports whether a node had shown, by a time, that it no longer runs a pod that
// ended: it booted since, or was Ready for the hold time.
func (n *nodes) spoke(name string, ended, by time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.ContainsFunc(n.boots[name], func(t time.Time) bool { return t.After(ended) && !t.After(by) }) {
		return true
	}
	return slices.ContainsFunc(n.ready[name], func(s span) bool {
		proof := later(s.from, ended).Add(holdTime - cut)
		return !proof.After(by) && (s.to.IsZero() || !proof.After(s.to.Add(heard)))
	})
}

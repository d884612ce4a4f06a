package testbed

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
)

// kwokAnnotation, with the value "fake", gives a node to kwok.
const kwokAnnotation = "kwok.x-k8s.io/node"

func (c *Cluster) createNodes(ctx context.Context) error {
	for i := range c.opts.nodes {
		address := fmt.Sprintf("10.240.%d.%d", i/250, i%250+1)
		if err := c.CreateNode(ctx, fmt.Sprintf("node-%d", i), func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		}); err != nil {
			return err
		}
	}
	return c.waitForNodes(ctx)
}

// CreateNode adds a node, which kwok plays if the cluster has WithNodes. It has no taint of
// kwok's, so that ordinary pods run on it, and a boot ID, which a test may change.
func (c *Cluster) CreateNode(ctx context.Context, name string, edit ...func(*corev1.Node)) error {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("512Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	for resource, count := range c.opts.resources {
		capacity[corev1.ResourceName(resource)] = count
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{kwokAnnotation: "fake"},
			Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
				"node-role.kubernetes.io/worker": "", "type": "kwok",
			},
		},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity.DeepCopy(),
			NodeInfo: corev1.NodeSystemInfo{BootID: string(uuid.NewUUID())},
		},
	}
	for _, e := range edit {
		e(node)
	}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating node %s: %w", name, err)
	}
	return nil
}

// waitForNodes waits until a pod could be scheduled to every node. When that does not happen the
// controller-manager or kwok is why, and their logs say it.
func (c *Cluster) waitForNodes(ctx context.Context) error {
	var waiting []string
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		waiting = nil
		for i := range nodes.Items {
			if n := &nodes.Items[i]; !usable(n) {
				waiting = append(waiting, n.Name)
			}
		}
		return len(waiting) == 0, c.ended()
	})
	if err != nil {
		return fmt.Errorf("waiting for nodes, not Ready are %v (logs in %s): %w", waiting, c.logs, err)
	}
	return nil
}

func usable(n *corev1.Node) bool {
	if len(n.Spec.Taints) > 0 {
		return false
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// ended is the failure of the first program that is no longer there.
func (c *Cluster) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		select {
		case <-p.done:
			return p.failure(fmt.Errorf("ended early: %s", p.cmd.ProcessState))
		default:
		}
	}
	return nil
}

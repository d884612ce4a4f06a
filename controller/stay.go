package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// place sees to it that a gated pod can come only to nodes whose HCA has room for its
// PKeys: what it returns belongs into the patch that lifts the gate. Without such a node
// the pod waits, and whatever may give it one wakes it.
func (c *Controller) place(ctx context.Context, pod *corev1.Pod, rows []ledger.Row) (ops []op, waits bool, err error) {
	pkeys := pkeysOf(rows)
	if c.budget == nil || len(pkeys) == 0 || c.budget.Land(pod.UID, pkeys) {
		return nil, false, nil
	}
	// The API server is asked by those alone who can go: thousands may wait.
	if _, ok, err := c.choose(ctx, pod, pkeys); err != nil || !ok {
		return nil, true, err
	}
	// Its affinity may have been changed a moment ago, by whoever lifted another gate.
	var now corev1.Pod
	err = c.client.Get(ctx, client.ObjectKeyFromObject(pod), &now)
	if err != nil || now.UID != pod.UID {
		c.budget.Gone(pod.UID)
		if client.IgnoreNotFound(err) != nil {
			return nil, false, fmt.Errorf("read pod %s before it is placed: %w", keyOf(pod), err)
		}
		return nil, true, nil
	}
	away, ok, err := c.choose(ctx, &now, pkeys)
	if err != nil || !ok || len(away) == 0 {
		return nil, !ok, err
	}
	return []op{
		{"test", "/metadata/resourceVersion", now.ResourceVersion},
		{"add", "/spec/affinity", budget.Avoid(now.Spec.Affinity, away)}, // in place of what is there
	}, false, nil
}

// choose says which of its nodes a pod must be kept from, and counts it on the others. If
// there are none, ok is false, and the pod is told.
func (c *Controller) choose(ctx context.Context, pod *corev1.Pod, pkeys []pkey.PKey) (away []*corev1.Node, ok bool, err error) {
	c.crowded.add(keyOf(pod)) // before it is looked whether it must wait
	nodes, err := c.nodesFor(ctx, pod)
	if err != nil {
		return nil, false, err
	}
	avoid, ok := c.budget.Choose(pod.UID, pkeys, namesOf(nodes))
	if !ok {
		c.tell(pod, record.PodWaiting, record.Fields{PKeys: pkeys, Err: fmt.Errorf(
			"the %d nodes that it may run on have no room for pkeys %v: an HCA's table has %d entries, and others' pods need them; it goes on when such a pod ends, or where a node is added", len(nodes), pkeys, c.budget.Entries())})
		return nil, false, nil
	}
	return slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return !slices.Contains(avoid, n.Name) }), true, nil
}

// nodesFor are the nodes that a pod may run on; all of them if that is none now, since one
// may yet become fit.
func (c *Controller) nodesFor(ctx context.Context, pod *corev1.Pod) (fit []*corev1.Node, err error) {
	var nodes corev1.NodeList
	if err := c.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list nodes from the cache: %w", err)
	}
	var all []*corev1.Node
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if all = append(all, n); budget.MayRunOn(pod, n) {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return all, nil
	}
	return fit, nil
}

func namesOf(nodes []*corev1.Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}

// stays notes where a pod is, or that it can come anywhere by now. One that came to a
// node without room is told: pods without a gate do.
func (c *Controller) stays(pod *corev1.Pod, rows []ledger.Row) {
	pkeys := pkeysOf(rows)
	switch {
	case c.budget == nil || len(pkeys) == 0:
	case pod.Spec.NodeName != "":
		over, news := c.budget.Bound(pod.UID, pkeys, pod.Spec.NodeName)
		if news {
			c.wakeCrowded()
		}
		if over > 0 {
			c.tell(pod, record.NodeCrowded, record.Fields{Node: pod.Spec.NodeName, PKeys: pkeys, Detail: fmt.Sprintf(
				"the pods of node %s need %d entries more than its HCA's table has (%d): the subnet manager leaves some out, and their ports stay without a link; move pods of one pkey away", pod.Spec.NodeName, over, c.budget.Entries())})
		}
	case gateIndex(pod, c.cfg.Gate()) < 0:
		c.budget.LetGo(pod.UID, pkeys)
	}
}

// staysGated notes that a pod was not let go after all. It wakes nobody: whoever is refused
// again and again would wake itself.
func (c *Controller) staysGated(uid types.UID, gate int) {
	if c.budget != nil && gate >= 0 {
		c.budget.Gone(uid)
	}
}

// freeEntries notes that no node needs a pod's PKeys any more, if it is so.
func (c *Controller) freeEntries(uid types.UID) {
	if c.budget == nil || slices.ContainsFunc(c.ledger.OfPod(uid), c.needsEntries) {
		return
	}
	if c.budget.Gone(uid) {
		c.wakeCrowded()
	}
}

// needsEntries reports whether a row's PKeys take up entries of a node's table: until UFM
// was seen without its GUID, unless that never came to a node. With add-only UFM never is:
// the pod's end must do, when its VF puts the GUID away.
func (c *Controller) needsEntries(r ledger.Row) bool {
	return r.State == ledger.Assigned || r.State == ledger.Leaving && r.Node != "" && c.cfg.Policy != AddOnly
}

func (c *Controller) wakeCrowded() {
	for _, key := range c.crowded.take() {
		c.pods.Add(key)
	}
}

// countStays notes where all pods are that have rows, before the first one is let go.
func (c *Controller) countStays() error {
	if c.budget == nil {
		return nil
	}
	byPod := map[types.UID][]ledger.Row{}
	c.ledger.Each(func(r ledger.Row) {
		if c.needsEntries(r) {
			byPod[r.UID] = append(byPod[r.UID], r)
		}
	})
	for uid, rows := range byPod {
		if node := rows[0].Node; node != "" && node != ledger.UnknownNode {
			c.budget.Bound(uid, pkeysOf(rows), node)
			continue
		}
		pod, err := c.getPod(rows[0].Pod)
		if err != nil {
			return err
		}
		if pod != nil && pod.UID == uid {
			c.stays(pod, rows)
		}
	}
	return nil
}

// Metrics are what the controller counts for Prometheus.
func (c *Controller) Metrics() []prometheus.Collector {
	if c.budget == nil {
		return nil
	}
	return []prometheus.Collector{c.budget}
}

// pkeysOf are the PKeys of a pod's rows, each once, in order.
func pkeysOf(rows []ledger.Row) []pkey.PKey {
	var all []pkey.PKey
	for _, r := range rows {
		for _, claim := range r.Claims {
			all = append(all, claim.PKey)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// claimsOf are the rows that a pod's annotations tell of, for interfaces without one.
func (c *Controller) claimsOf(ctx context.Context, pod *corev1.Pod) []ledger.Row {
	elements, err := attach.ParseAnnotation(pod.Namespace, pod.Annotations[attach.NetworksAnnotation])
	if err != nil {
		return nil // told when the pod's turn comes
	}
	has := map[string]bool{}
	for _, r := range c.ledger.OfPod(pod.UID) {
		has[r.Interface] = true
	}
	status := attach.StatusGUIDs(pod.Annotations[attach.NetworkStatusAnnotation])
	var rows []ledger.Row
	for _, e := range elements {
		net, ours, err := c.networkFor(ctx, pod.Namespace, e.Network)
		lost := pod.Status.Phase == corev1.PodRunning && e.GUID == 0
		if lost {
			e.GUID = attach.GUIDOf(status, e)
		}
		// Its CNI is done: a grant that was withdrawn since, or was not asked for then, takes
		// nothing from it. One that does not run yet is a new pod to its Partition.
		joined := isGrantError(err) && pod.Status.Phase == corev1.PodRunning
		if joined {
			net.Claims, err = c.grants.Joined(net.Claims), nil
		}
		if err != nil || !ours || has[e.Interface] || e.Err != nil || e.GUID == 0 || !(e.Configured || lost) {
			continue
		}
		if why := c.notAdoptable(e, net); why != nil {
			c.tell(pod, record.PodRefused, record.Fields{GUIDs: []guid.GUID{e.GUID}, Err: why})
			continue
		}
		rows = append(rows, ledger.Row{
			GUID: e.GUID, Pod: keyOf(pod), UID: pod.UID, Interface: e.Interface, Network: e.Network,
			Claims: c.adoptedClaims(e, net, !joined), Node: pod.Spec.NodeName, Since: c.now(), Seen: true,
		})
	}
	return rows
}

// notAdoptable says why what a pod's annotation tells is not believed, by itself or by what
// UFM shows.
func (c *Controller) notAdoptable(e attach.Element, net attach.Network) error {
	if err := e.Adoptable(net, c.pool.Contains); err != nil {
		return err
	}
	joins := map[pkey.PKey]bool{}
	for _, cl := range net.Claims {
		joins[cl.PKey] = true
	}
	for _, p := range c.view.pkeys() {
		if p != pkey.Default && !joins[p] && c.view.shows(p, e.GUID) {
			return fmt.Errorf("guid %s stands in pkey %s in UFM, which network %s does not give: make the pod anew without it", e.GUID, p, net.Name)
		}
	}
	return nil
}

// adoptedClaims are the partitions of an adopted GUID, in the mode that UFM shows it in:
// what another controller gave it is right until its pod ends. Without a grant they are
// those that it stands in, and no other for having been written into an annotation.
func (c *Controller) adoptedClaims(e attach.Element, net attach.Network, granted bool) (claims []attach.Claim) {
	for _, cl := range net.Claims {
		mode, shown := c.view.mode(cl.PKey, e.GUID)
		if !granted && (!shown || !c.cfg.Scope.Contains(cl.PKey)) {
			continue
		}
		if shown {
			cl.Mode = mode
		}
		claims = append(claims, cl)
	}
	return claims
}

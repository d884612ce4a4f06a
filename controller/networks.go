package controller

import (
	"context"
	"fmt"
	"sync"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// missingNetworkError says that a pod names a network that does not exist (yet).
type missingNetworkError struct{ name types.NamespacedName }

func (e *missingNetworkError) Error() string {
	return fmt.Sprintf("network %s does not exist: create that NetworkAttachmentDefinition, or correct the pod's annotation", e.name)
}

// network reads a NAD. Whatever is wrong with it makes the pod wait for it to change.
func (c *Controller) network(ctx context.Context, name types.NamespacedName, pod *corev1.Pod) (net attach.Network, ours bool, err error) {
	var nad nadv1.NetworkAttachmentDefinition
	err = c.cache.Get(ctx, name, &nad)
	switch {
	case apierrors.IsNotFound(err):
		c.waitlist.add(name, keyOf(pod))
		return net, false, &missingNetworkError{name}
	case err != nil:
		return net, false, fmt.Errorf("read network %s from the cache: %w", name, err)
	case !c.cfg.Networks.Matches(labels.Set(nad.Labels)):
		return net, false, nil // another fabric's
	}
	net, err = attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	if err == nil && net.InfiniBand {
		err = c.checkClaims(net)
	}
	if err != nil {
		c.waitlist.add(name, keyOf(pod))
		return net, false, err
	}
	return net, net.InfiniBand, nil
}

// checkClaims refuses partitions that this controller may not change.
func (c *Controller) checkClaims(net attach.Network) error {
	for _, claim := range net.Claims {
		if claim.PKey == 0 {
			return fmt.Errorf("network %s: there is no Partition %q; name the PKey itself, as in 0x1000", net.Name, claim.Partition)
		}
		if !c.cfg.Scope.Contains(claim.PKey) {
			return fmt.Errorf("network %s: pkey %s is outside what this controller may change (%s); choose one inside, or widen --pkey-scope", net.Name, claim.PKey, c.cfg.Scope)
		}
	}
	return nil
}

// networkChanged lets all pods look again that wait for a network or are on it.
func (c *Controller) networkChanged(name types.NamespacedName) {
	for _, key := range c.waitlist.take(name) {
		c.pods.Add(key)
	}
	for _, r := range c.ledger.OfNetwork(name) {
		c.pods.Add(r.Pod)
	}
}

// waitlist says which pods wait for which network to appear or to be mended.
type waitlist struct {
	mu       sync.Mutex // protects both
	pods     map[types.NamespacedName]map[types.NamespacedName]bool
	networks map[types.NamespacedName]map[types.NamespacedName]bool // by pod
}

func newWaitlist() *waitlist {
	return &waitlist{
		pods:     map[types.NamespacedName]map[types.NamespacedName]bool{},
		networks: map[types.NamespacedName]map[types.NamespacedName]bool{},
	}
}

func (w *waitlist) add(network, pod types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	link(w.pods, network, pod)
	link(w.networks, pod, network)
}

// take returns the pods that wait for a network, which then wait no longer.
func (w *waitlist) take(network types.NamespacedName) []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pods []types.NamespacedName
	for pod := range w.pods[network] {
		pods = append(pods, pod)
		unlink(w.networks, pod, network)
	}
	delete(w.pods, network)
	return pods
}

// forget drops a pod that is gone.
func (w *waitlist) forget(pod types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for network := range w.networks[pod] {
		unlink(w.pods, network, pod)
	}
	delete(w.networks, pod)
}

func link(m map[types.NamespacedName]map[types.NamespacedName]bool, a, b types.NamespacedName) {
	if m[a] == nil {
		m[a] = map[types.NamespacedName]bool{}
	}
	m[a][b] = true
}

func unlink(m map[types.NamespacedName]map[types.NamespacedName]bool, a, b types.NamespacedName) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}

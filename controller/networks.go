package controller

import (
	"context"
	"fmt"
	"sync"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// missingNetworkError says that a pod names a network that does not exist (yet).
type missingNetworkError struct{ name types.NamespacedName }

func (e *missingNetworkError) Error() string {
	return fmt.Sprintf("network %s does not exist: create that NetworkAttachmentDefinition, or correct the pod's annotation", e.name)
}

// network reads a NAD. Whatever changes of it wakes the pods that name it. It is ours
// also when it says something that is refused, which is the error then.
func (c *Controller) network(ctx context.Context, name types.NamespacedName) (net attach.Network, ours bool, err error) {
	var nad nadv1.NetworkAttachmentDefinition
	err = c.cache.Get(ctx, name, &nad, client.UnsafeDisableDeepCopy) // read only, by thousands of pods
	switch {
	case apierrors.IsNotFound(err):
		return net, false, &missingNetworkError{name}
	case err != nil:
		return net, false, fmt.Errorf("read network %s from the cache: %w", name, err)
	}
	r := c.networks.reading(name, nad.ResourceVersion, func() networkReading { return c.readNetwork(name, &nad) })
	return r.net, r.ours, r.err
}

// networkFor is a NAD as the pods of a namespace get it: in the partitions that the grants
// give for those which it names.
func (c *Controller) networkFor(ctx context.Context, namespace string, name types.NamespacedName) (net attach.Network, ours bool, err error) {
	net, ours, err = c.network(ctx, name)
	if err != nil || !ours {
		return net, ours, err
	}
	claims, err := c.grants.Resolve(namespace, net.Claims)
	if err == nil {
		err = c.checkClaims(claims)
	}
	if err != nil {
		return net, true, &claimsError{name, err}
	}
	net.Claims = claims
	return net, true, nil
}

// claimsError says why a network's partitions cannot be had as the Partitions are now: who
// waits because of it looks again when they change.
type claimsError struct {
	network types.NamespacedName
	err     error
}

func (e *claimsError) Error() string { return fmt.Sprintf("network %s: %v", e.network, e.err) }

func (e *claimsError) Unwrap() error { return e.err }

func (c *Controller) readNetwork(name types.NamespacedName, nad *nadv1.NetworkAttachmentDefinition) networkReading {
	if !c.cfg.Networks.Matches(labels.Set(nad.Labels)) {
		return networkReading{foreign: true}
	}
	net, err := attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	return networkReading{net: net, ours: net.InfiniBand || err != nil, err: err}
}

// networkReading is what a NAD says, as of a version of it.
type networkReading struct {
	version string
	net     attach.Network
	ours    bool
	foreign bool // another fabric's, by its labels
	err     error
}

// networkReadings keep what NADs say: each is read once, not once for each pod.
type networkReadings struct {
	mu sync.Mutex // protects by
	by map[types.NamespacedName]networkReading
}

// reading is what a NAD says in this version; read tells when that is not known.
func (n *networkReadings) reading(name types.NamespacedName, version string, read func() networkReading) networkReading {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.by[name]; ok && r.version == version {
		return r
	}
	r := read()
	r.version = version
	n.by[name] = r
	return r
}

// isForeign reports whether a network is another fabric's, as it was last read.
func (n *networkReadings) isForeign(name types.NamespacedName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[name].foreign
}

func (n *networkReadings) forget(name types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.by, name)
}

// checkClaims refuses partitions that this controller may not change.
func (c *Controller) checkClaims(claims []attach.Claim) error {
	for _, claim := range claims {
		if !c.cfg.Scope.Contains(claim.PKey) {
			return fmt.Errorf("pkey %s is outside what this controller may change (%s); choose one inside, or widen --pkey-scope", claim.PKey, c.cfg.Scope)
		}
	}
	return nil
}

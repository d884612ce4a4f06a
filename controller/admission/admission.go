// Package admission answers the API server before objects are stored: a network that the
// controller would refuse is refused at the door, and a pod on an InfiniBand network gets
// the scheduling gate that the controller lifts when its fabric is ready.
//
// Every replica answers, leader or not: an answer follows from the request, the networks
// in the cache and the grants, and from nothing else.
package admission

import (
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// The paths of the webhooks, as deploy/admission names them.
const (
	NetworksPath = "/networks"
	PodsPath     = "/pods"
)

// ManagedLabel marks pods that were gated. It is for people and for admission policies:
// nothing that frees a GUID or takes over a pod reads it, for whoever makes a pod can
// leave it out.
const ManagedLabel = "ibfabric.io/managed"

// Pools knows which of Spiderpool's pools there are; *preflight.Others does. Its absence, a
// nil, asks nobody.
type Pools interface {
	Missing(names []string) []string // those that do not exist, as far as is known
	Advise(missing []string) string
}

// poolWarning is for whoever writes something that names pools: they may come later, so that
// it is not refused.
func poolWarning(pools Pools, names []string) []string {
	if pools == nil || len(names) == 0 {
		return nil
	}
	missing := pools.Missing(names)
	if len(missing) == 0 {
		return nil
	}
	return []string{pools.Advise(missing)}
}

// Register serves both webhooks.
func Register(server webhook.Server, networks *Networks, pods *Pods) {
	server.Register(NetworksPath, &webhook.Admission{Handler: networks})
	server.Register(PodsPath, &webhook.Admission{Handler: pods})
}

package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/record"
)

// judgeStrays refuses what elements of no InfiniBand network say of a place on the fabric,
// in a pod that waits for us. Their networks can become InfiniBand behind the gate, and the
// CNI would believe what nobody judged: another pod's GUID, say. What another fabric's
// controller wrote is its own.
//
// A pod at our gate is not let go either on the word of a network that another fabric, or
// none, serves: a network's labels can change behind the gate as well. Such an element is
// judged when it says "configured": admission lets no pod in that says so itself, and from
// then on only controllers can write it. unjudged is the first network of which it does not.
func (c *Controller) judgeStrays(strays []attach.Element, gated bool) (problems faults, unjudged types.NamespacedName) {
	for _, e := range strays {
		foreign := c.networks.isForeign(e.Network)
		switch {
		case foreign && !gated:
		case e.Err != nil:
			problems = append(problems, e.Err)
		case e.GUID == 0 && !e.Configured && len(e.Recorded) == 0:
		case !foreign:
			problems = append(problems, fmt.Errorf("element %d of the networks annotation names a guid, a pkey or a state for network %s, which is not InfiniBand: leave them out, or name a network of plugin ib-sriov", e.Index+1, e.Network))
		case !e.Configured && unjudged == types.NamespacedName{}:
			unjudged = e.Network
		}
	}
	return problems, unjudged
}

// tellUnjudged says why a pod stays at our gate though all that is ours is ready.
func (c *Controller) tellUnjudged(pod *corev1.Pod, network types.NamespacedName) {
	c.tell(pod, record.PodWaiting, record.Fields{Err: fmt.Errorf(
		"the pod names a guid for network %s, which is another fabric's: it goes on when that fabric's controller has configured it there; if none serves that network, make the pod anew without the guid", network)})
}

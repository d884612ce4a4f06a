package controller

import (
	"fmt"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// judgeStrays refuses what elements of no InfiniBand network say of a place on the fabric,
// in a pod that waits for us. Their networks can become InfiniBand behind the gate, and the
// CNI would believe what nobody judged: another pod's GUID, say. What another fabric's
// controller wrote is its own.
func (c *Controller) judgeStrays(strays []attach.Element) (problems faults) {
	for _, e := range strays {
		switch {
		case c.networks.isForeign(e.Network):
		case e.Err != nil:
			problems = append(problems, e.Err)
		case e.GUID != 0 || e.Configured || len(e.Recorded) > 0:
			problems = append(problems, fmt.Errorf("element %d of the networks annotation names a guid, a pkey or a state for network %s, which is not InfiniBand: leave them out, or name a network of plugin ib-sriov", e.Index+1, e.Network))
		}
	}
	return problems
}

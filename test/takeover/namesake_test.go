package takeover

import (
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// TestATenantCannotStopTheFabricByAName: who may make Deployments and leases in a namespace
// of their own is not waited for, before this replica leads and while it does. An
// ib-kubernetes that has its rights is, in whatever namespace.
func TestATenantCannotStopTheFabricByAName(t *testing.T) {
	w := newWorld(t)
	w.makeNetworks()
	w.pod("one", "red")
	before, while := w.bed.Namespace(t), w.bed.Namespace(t)
	w.deploymentIn(before, 1)
	w.deadLeader(before, time.Hour)
	ours := w.ibfabric()
	w.configured("one")
	ours.says("namesake.found", "deployment "+before+"/ib-kubernetes", "account "+before+"/ib-kubernetes may not")
	ours.says("namesake.found", "lease "+before+"/ib-kubernetes-leader")

	w.deploymentIn(while, 1)
	ours.says("namesake.found", "deployment "+while+"/ib-kubernetes")
	w.pod("two", "red")
	w.configured("two")
	if n := ours.count("incumbent.found") + ours.count("leader.stopped"); n > 0 || ours.Ended() != nil {
		t.Errorf("it stopped for a tenant: %s", ours.Tail(5))
	}
	if n := ours.count("namesake.found"); n != 3 {
		t.Errorf("three that are not waited for were said %d times", n)
	}

	odd := w.bed.Namespace(t)
	w.entitle(odd)
	w.deploymentIn(odd, 1)
	testbed.Eventually(t, "the process ends", func() (bool, string) { return ours.Ended() != nil, ours.Tail(5) })
	if n := ours.count("incumbent.found", "(deployment "+odd+"/ib-kubernetes: 1 pods ready, 0 ending)"); n != 1 {
		t.Errorf("the real one was said %d times", n)
	}
	again := w.ibfabric()
	again.says("incumbent.found", "(deployment "+odd+"/ib-kubernetes: 1 pods ready, 0 ending)")
	if again.count("leader.elected") > 0 {
		t.Error("it did not wait")
	}
	w.deploymentIn(odd, 0)
	again.says("leader.adopted")
}

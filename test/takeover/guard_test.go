package takeover

import (
	"context"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// TestIBFabricWaitsForTheLeaderOfANewerIBKubernetes: those after v1.1.1 elect a leader,
// and are found without a Deployment, wherever they run.
func TestIBFabricWaitsForTheLeaderOfANewerIBKubernetes(t *testing.T) {
	w := newWorld(t)
	w.makeNetworks()
	w.pod("one", "red")
	w.entitle(w.ns)
	retire := w.elect()
	ours := w.ibfabric()
	ours.says("incumbent.found", "ib-kubernetes-leader, held by node-1_uid")
	w.renewed("ib-kubernetes-leader", leaseTime+3*time.Second)
	if ours.count("leader.") > 0 || w.ours.changes.Load() > 0 {
		t.Error("it did not wait")
	}
	retire()
	ours.says("leader.adopted")
	w.configured("one")
}

func TestIBFabricTakesOverWhenTheLeaderOfIBKubernetesDied(t *testing.T) {
	w := newWorld(t)
	w.makeNetworks()
	w.pod("one", "red")
	w.entitle(w.ns)
	w.deadLeader(w.ns, leaseTime)
	ours := w.ibfabric()
	ours.says("incumbent.found", "lease "+w.ns+"/ib-kubernetes-leader, held by node-1_uid")
	ours.says("leader.adopted")
	w.configured("one")
}

// deadLeader makes the lease of a leader that does not renew it any more.
func (w *world) deadLeader(ns string, lasts time.Duration) {
	w.t.Helper()
	holder, seconds, never := "node-1_uid", int32(lasts.Seconds()), metav1.NewMicroTime(time.Now().Add(time.Hour))
	dead := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "ib-kubernetes-leader"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &never},
	}
	if err := w.api.Create(w.t.Context(), dead); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.gone(dead) })
}

// TestIBFabricStepsAsideForAnIBKubernetesThatComesLater: the process ends, so that
// Kubernetes starts one that waits.
func TestIBFabricStepsAsideForAnIBKubernetesThatComesLater(t *testing.T) {
	w := newWorld(t)
	w.makeNetworks()
	w.pod("one", "red")
	ours := w.ibfabric()
	w.configured("one")
	w.deployment(1)
	testbed.Eventually(t, "the process ends", func() (bool, string) { return ours.Ended() != nil, ours.Tail(5) })
	if n := ours.count("incumbent.found", "it came while this replica led"); n != 1 {
		t.Errorf("why it stepped aside was said %d times", n)
	}
	if ended := ours.Ended(); !strings.Contains(ended.Error(), "exit status 1") || !strings.Contains(ours.log(), "ibfabric-controller: stop leading: ib-kubernetes works in this cluster (deployment "+w.ns+"/ib-kubernetes") {
		t.Errorf("its last words do not say why: %v", ended)
	}
	if holder := w.lease("ibfabric-fabric").Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("%s ended and still has the lease", *holder)
	}

	changes := len(w.sim.Journal())
	w.pod("two", "red")
	again := w.ibfabric()
	again.says("incumbent.found", "scale deployment ib-kubernetes --replicas=0")
	w.renewed("ibfabric-fabric", 3*time.Second) // it holds the lease, and has looked again
	if strings.Contains(w.pods()["two"].Annotations[attach.NetworksAnnotation], "configured") || len(w.sim.Journal()) != changes {
		t.Error("it works beside ib-kubernetes")
	}
	w.deployment(0)
	w.configured("two")
	w.inUFM()
}

// TestTheGuardNeedsThreeNarrowPermissions: with the rules that the guard's comment names it
// works; without one of them it says which.
func TestTheGuardNeedsThreeNarrowPermissions(t *testing.T) {
	w := newWorld(t)
	kubeconfig, err := w.bed.KubeconfigFor("ibfabric", w.ns)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"*"}
	w.grant("the-rest",
		rbacv1.PolicyRule{APIGroups: []string{"", "k8s.cni.cncf.io", "ibfabric.io", "events.k8s.io"}, Resources: all, Verbs: all},
		rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "get", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{"ib-kubernetes-leader"}, Verbs: []string{"list"}},
	)
	ours := w.ibfabric("KUBECONFIG=" + kubeconfig)
	ours.says("work.failed", "grant the verb list on deployments.apps, resourceNames [ib-kubernetes], in a ClusterRole")
	if got := ours.ready("/readyz/ib-kubernetes-is-gone"); !strings.Contains(got, "deployments.apps") {
		t.Errorf("/readyz does not say what is missing: %q", got)
	}
	if n := ours.count("leases.coordination.k8s.io, resourceNames"); n > 0 {
		t.Error("the rule for leases is not enough")
	}
	w.deployment(1)
	w.grant("deployments",
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"ib-kubernetes"}, Verbs: []string{"list"}},
	)
	ours.says("incumbent.found", "grant the verb create on subjectaccessreviews.authorization.k8s.io, in a ClusterRole")
	tenant := w.bed.Namespace(t)
	w.deploymentIn(tenant, 1)
	ours.says("incumbent.found", "deployment "+tenant+"/ib-kubernetes")
	w.grant("reviews",
		rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
	)
	ours.says("namesake.found", "deployment "+tenant+"/ib-kubernetes")
	w.deployment(0)
	ours.says("leader.adopted")
}

// leaseTime is shorter than the minute of ib-kubernetes, which would be the tests', and longer
// than a busy machine's pauses.
const leaseTime = 15 * time.Second

// elect holds the lease of ib-kubernetes as its leader does, until it retires in order.
func (w *world) elect() (retire func()) {
	w.t.Helper()
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, w.ns, "ib-kubernetes-leader",
		resourcelock.ResourceLockConfig{Identity: "node-1_uid"}, w.bed.Config(), leaseTime-time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	leads := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: leaseTime, RenewDeadline: leaseTime - time.Second, RetryPeriod: 500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(leads) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); elector.Run(ctx) }()
	retire = func() { cancel(); <-ended }
	w.t.Cleanup(retire)
	<-leads
	return retire
}

func (w *world) lease(name string) *coordinationv1.Lease {
	w.t.Helper()
	var l coordinationv1.Lease
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &l); err != nil {
		w.t.Fatal(err)
	}
	return &l
}

// renewed waits until a lease was held for a time from now on.
func (w *world) renewed(name string, d time.Duration) {
	w.t.Helper()
	first := w.lease(name).Spec.RenewTime.Time
	testbed.Eventually(w.t, "lease "+name+" is renewed for "+d.String(), func() (bool, string) {
		last := w.lease(name).Spec.RenewTime.Time
		return last.Sub(first) > d, last.String()
	})
}

// grant gives the world's user what a ClusterRole says.
func (w *world) grant(name string, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	name = w.ns + "-" + name
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: w.ns}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := w.api.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { w.gone(o) })
	}
	that := authorizationv1.ResourceAttributes{Verb: rules[0].Verbs[0], Group: rules[0].APIGroups[0], Resource: rules[0].Resources[0]}
	for _, name := range rules[0].ResourceNames {
		that.Name = name
	}
	w.bed.Allowed(w.t, "ibfabric", []string{w.ns}, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &that})
}

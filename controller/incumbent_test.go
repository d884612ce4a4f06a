package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
)

// apiOfOthers is an API server as far as ib-kubernetes is seen there.
type apiOfOthers struct {
	mu          sync.Mutex // protects what follows
	deployments []appsv1.Deployment
	leases      []coordinationv1.Lease
	err         error
}

func (a *apiOfOthers) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	switch list := into.(type) {
	case *appsv1.DeploymentList:
		for _, d := range a.deployments {
			if o.FieldSelector.String() == "metadata.name="+d.Name {
				list.Items = append(list.Items, d)
			}
		}
	case *coordinationv1.LeaseList:
		for _, l := range a.leases {
			if o.FieldSelector.String() == "metadata.name="+l.Name {
				list.Items = append(list.Items, *l.DeepCopy())
			}
		}
	default:
		return fmt.Errorf("nobody lists %T here", into)
	}
	return nil
}

// accounts are those that may change the pods of all namespaces, or an error of who is asked.
type accounts struct {
	mu    sync.Mutex // protects what follows
	all   bool
	may   map[string]bool
	err   error
	asked []string
}

func (a *accounts) May(_ context.Context, account types.NamespacedName, _ ...rights.Right) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, account.String())
	return a.all || a.may[account.String()], a.err
}

func (a *accounts) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func everyAccount() *accounts { return &accounts{all: true} }

func (a *apiOfOthers) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func deployment(name string, ready int32) appsv1.Deployment {
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "nvidia-network-operator", Name: name},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: ready},
	}
}

// leaseOf is a lease as its holder renewed it, by the holder's clock.
func leaseOf(holder string, renewed time.Time) coordinationv1.Lease {
	seconds, at := int32(60), metav1.NewMicroTime(renewed)
	return coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fabric", Name: "ib-kubernetes-leader"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at},
	}
}

// newcomer is a controller that has just become leader, and its log.
func newcomer(t *testing.T, api lister, r Rights) (*Controller, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	log, _, err := record.NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	rec := record.New(log, nil)
	return &Controller{
		incumbent: newIncumbent(api, r, time.Now), namesakes: rights.NewNamesakes(rec, time.Now), rec: rec, notes: newNotes(),
		now: time.Now, after: time.After,
	}, &out
}

// outwaited starts to wait; what it returns says whether the wait is over.
func outwaited(c *Controller) func() bool {
	done := make(chan error, 1)
	go func() { done <- c.outwait(context.Background()) }()
	over := false
	return func() bool {
		select {
		case err := <-done:
			over = err == nil
		default:
		}
		return over
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestALeaderWaitsAsLongAsAnIBKubernetesPodIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{deployments: []appsv1.Deployment{deployment("ib-kubernetes", 1)}}
		c, log := newcomer(t, api, everyAccount())
		over := outwaited(c)
		pass(time.Hour)
		if over() {
			t.Fatal("it did not wait")
		}
		if err := c.Waiting(); err == nil || !strings.Contains(err.Error(), "kubectl -n nvidia-network-operator scale deployment ib-kubernetes --replicas=0") {
			t.Errorf("it waits for %v, which names no mend", err)
		}
		api.set(func() {
			one := int32(1)
			api.deployments[0].Status.ReadyReplicas, api.deployments[0].Status.TerminatingReplicas = 0, &one
		})
		if pass(time.Minute); over() {
			t.Error("it did not wait for a pod that is being ended")
		}
		api.set(func() { api.deployments[0] = deployment("ib-kubernetes", 0) })
		if pass(incumbentPoll); !over() || c.Waiting() != nil {
			t.Errorf("nobody is left, and it waits on: %v", c.Waiting())
		}
		if n := strings.Count(log.String(), `"event":"incumbent.found"`); n != 1 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("an hour of waiting was said %d times:\n%s", n, log)
		}
	})
}

func TestOtherDeploymentsAreNobodysBusiness(t *testing.T) {
	api := &apiOfOthers{deployments: []appsv1.Deployment{deployment("ib-kubernetes-exporter", 3), deployment("ib-kubernetes", 0)}}
	if err := newIncumbent(api, everyAccount(), time.Now).look(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALeaseThatIsRenewedCountsWhateverItsHoldersClockSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{}
		lastYear := time.Now().AddDate(-1, 0, 0)
		api.leases = []coordinationv1.Lease{leaseOf("node-1_x", lastYear)}
		c, _ := newcomer(t, api, everyAccount())
		over := outwaited(c)
		for i := range 20 {
			if pass(30 * time.Second); over() {
				t.Fatal("a clock that is a year slow made a live leader look dead")
			}
			api.set(func() { api.leases[0] = leaseOf("node-1_x", lastYear.Add(time.Duration(i+1)*30*time.Second)) })
		}
		api.set(func() { api.leases[0] = leaseOf("", lastYear) })
		if pass(incumbentPoll); !over() {
			t.Error("the lease was let go, and it waits on")
		}
	})
}

func TestALeaseThatNobodyRenewsRunsOutByOurClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nextYear := time.Now().AddDate(1, 0, 0) // a clock that is fast must not make it last
		api := &apiOfOthers{leases: []coordinationv1.Lease{leaseOf("node-1_x", nextYear)}}
		c, _ := newcomer(t, api, everyAccount())
		over := outwaited(c)
		if pass(55 * time.Second); over() {
			t.Error("a lease of 60 s ran out before its time")
		}
		api.set(func() { api.leases[0] = leaseOf("node-2_y", nextYear) }) // the standby took it
		if pass(55 * time.Second); over() {
			t.Error("the new holder's lease ran out with the old one's")
		}
		if pass(10 * time.Second); !over() {
			t.Errorf("the lease has run out, and it waits on: %v", c.Waiting())
		}
	})
}

func TestAnAPIServerThatDoesNotSayIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{err: errors.New("etcd is busy")}
		c, log := newcomer(t, api, everyAccount())
		over := outwaited(c)
		if pass(10 * time.Minute); over() {
			t.Fatal("it began without knowing")
		}
		if n := strings.Count(log.String(), `"event":"work.failed"`); n != 1 || !strings.Contains(log.String(), "etcd is busy") {
			t.Errorf("said %d times:\n%s", n, log)
		}
		api.set(func() { api.err = nil })
		if pass(incumbentPoll); !over() {
			t.Error("it did not ask again")
		}
	})
}

func TestAMissingPermissionIsNamed(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "ib-kubernetes", errors.New("no"))
	err := newIncumbent(&apiOfOthers{err: forbidden}, everyAccount(), time.Now).look(t.Context())
	for _, want := range []string{
		"grant the verb list on deployments.apps, resourceNames [ib-kubernetes], in a ClusterRole",
		"grant the verb list on leases.coordination.k8s.io, resourceNames [ib-kubernetes-leader], in a ClusterRole",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say: %s", err, want)
		}
	}
}

func TestALeaderStepsAsideForIBKubernetesAndForNothingElse(t *testing.T) {
	api := &apiOfOthers{}
	c, log := newcomer(t, api, everyAccount())
	if err := c.stepAside(t.Context()); err != nil {
		t.Errorf("alone: %v", err)
	}
	api.err = errors.New("connection refused")
	if err := c.stepAside(t.Context()); err != nil {
		t.Errorf("with the API server away: %v", err)
	}
	api.err, api.leases = nil, []coordinationv1.Lease{leaseOf("node-1_x", time.Now())}
	if err := c.stepAside(t.Context()); err == nil || !strings.Contains(err.Error(), "lease fabric/ib-kubernetes-leader, held by node-1_x") {
		t.Errorf("beside ib-kubernetes: %v", err)
	}
	if !strings.Contains(log.String(), `"event":"incumbent.found"`) {
		t.Errorf("it was not said:\n%s", log)
	}
}

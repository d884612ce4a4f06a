package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ofTenant is a Deployment of ready pods in a tenant's namespace.
func ofTenant(namespace, account string) appsv1.Deployment {
	d := deployment("ib-kubernetes", 1)
	d.Namespace, d.Spec.Template.Spec.ServiceAccountName = namespace, account
	return d
}

func TestPodsOfATenantThatAreCalledIBKubernetesStopNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{deployments: []appsv1.Deployment{ofTenant("team-a", "builder")}, leases: []coordinationv1.Lease{leaseOf("x", time.Now())}}
		api.leases[0].Namespace = "team-b"
		c, log := newcomer(t, api, &accounts{})
		over := outwaited(c)
		if pass(incumbentPoll); !over() {
			t.Fatalf("it waits for %v", c.Waiting())
		}
		for range 10 {
			if err := c.stepAside(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{
			"deployment team-a/ib-kubernetes is called like ib-kubernetes, but its account team-a/builder may not change the pods of all namespaces",
			"lease team-b/ib-kubernetes-leader is called like ib-kubernetes, but its account team-b/ib-kubernetes may not",
		} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("not said once: %s\n%s", want, log)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
}

func TestAnIBKubernetesWithItsRightsCountsInWhateverNamespace(t *testing.T) {
	for name, of := range map[string]func(*apiOfOthers){
		"its Deployment": func(api *apiOfOthers) {
			api.deployments = []appsv1.Deployment{ofTenant("team-a", ""), ofTenant("odd", "ibk")}
		},
		"a lease beside its Deployment": func(api *apiOfOthers) {
			api.deployments, api.leases = []appsv1.Deployment{ofTenant("odd", "ibk")}, []coordinationv1.Lease{leaseOf("x", time.Now())}
			api.deployments[0].Status.ReadyReplicas, api.leases[0].Namespace = 0, "odd"
		},
	} {
		api := &apiOfOthers{}
		of(api)
		c, _ := newcomer(t, api, &accounts{may: map[string]bool{"odd/ibk": true}})
		if err := c.stepAside(t.Context()); err == nil || !strings.Contains(err.Error(), "kubectl -n odd scale deployment") || strings.Contains(err.Error(), "team-a") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatCannotBeAskedCountsAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{deployments: []appsv1.Deployment{ofTenant("team-a", "")}}
		asks := &accounts{err: errors.New("grant the verb create on subjectaccessreviews")}
		c, log := newcomer(t, api, asks)
		over := outwaited(c)
		if pass(time.Hour); over() {
			t.Fatal("it did not wait")
		}
		if n := strings.Count(log.String(), "grant the verb create on subjectaccessreviews"); n != 1 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("said %d times:\n%s", n, log)
		}
		asks.set(func() { asks.err = nil })
		if pass(incumbentPoll); !over() {
			t.Error("the account has no right, and it waits on")
		}
	})
}

// noDeployments is an API server that does not show Deployments.
type noDeployments struct{ *apiOfOthers }

func (n noDeployments) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	if _, ok := into.(*appsv1.DeploymentList); ok {
		return errors.New("forbidden")
	}
	return n.apiOfOthers.List(ctx, into, opts...)
}

func TestALeaseCountsWhereNobodyKnowsItsAccount(t *testing.T) {
	api := noDeployments{&apiOfOthers{leases: []coordinationv1.Lease{leaseOf("node-1_x", time.Now())}}}
	c, _ := newcomer(t, api, &accounts{})
	if err := c.stepAside(t.Context()); err == nil || !strings.Contains(err.Error(), "lease fabric/ib-kubernetes-leader") || !strings.Contains(err.Error(), "forbidden") {
		t.Error(err)
	}
}

// flaky is an API server that at times does not show Deployments.
type flaky struct {
	*apiOfOthers
	away bool
}

func (f *flaky) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	if _, ok := into.(*appsv1.DeploymentList); ok && f.away {
		return errors.New("timeout")
	}
	return f.apiOfOthers.List(ctx, into, opts...)
}

func TestAListThatFailsMakesNobodyOfATenantsLease(t *testing.T) {
	api := &flaky{apiOfOthers: &apiOfOthers{leases: []coordinationv1.Lease{leaseOf("x", time.Now())}}}
	c, _ := newcomer(t, api, &accounts{})
	for _, away := range []bool{false, true, false} {
		api.away = away
		if err := c.stepAside(t.Context()); err != nil {
			t.Errorf("with Deployments away %v: %v", away, err)
		}
	}
}

func TestAListThatFailsForgetsNobodyWhoCounts(t *testing.T) {
	api := &flaky{apiOfOthers: &apiOfOthers{deployments: []appsv1.Deployment{ofTenant("fabric", "")}}}
	asks := everyAccount()
	i := newIncumbent(api, asks, time.Now)
	looks := func(when string, works bool) {
		t.Helper()
		var found *incumbentError
		if err := i.look(t.Context()); errors.As(err, &found) != works {
			t.Errorf("%s: %v", when, err)
		}
	}
	looks("at first", true)
	asks.set(func() { asks.all = false }) // it is being deleted: its rights go first
	api.away = true
	looks("while nothing is shown", false)
	api.away = false
	looks("with its pods still there", true)
}

func TestAProcessThatEndsMeanwhileHasFoundNobody(t *testing.T) {
	api := &apiOfOthers{deployments: []appsv1.Deployment{ofTenant("team-a", "")}}
	c, log := newcomer(t, api, &accounts{err: context.Canceled})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.stepAside(ctx); err != nil || log.Len() > 0 {
		t.Errorf("%v\n%s", err, log)
	}
}

// Who deletes ib-kubernetes takes its rights before its pods, which end with the lease held.
func TestAnIBKubernetesThatLosesItsRightsCountsUntilItIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &apiOfOthers{leases: []coordinationv1.Lease{leaseOf("node-1_x", time.Now())}}
		asks := everyAccount()
		c, _ := newcomer(t, api, asks)
		over := outwaited(c)
		pass(incumbentPoll)
		asks.set(func() { asks.all = false })
		if pass(50 * time.Second); over() {
			t.Fatal("it did not wait for the lease to run out")
		}
		if pass(10 * time.Second); !over() {
			t.Fatalf("the lease has run out, and it waits on: %v", c.Waiting())
		}
		api.set(func() { api.leases = []coordinationv1.Lease{leaseOf("node-1_x", time.Now())} })
		if err := c.stepAside(t.Context()); err != nil {
			t.Errorf("that of another without the rights counts too: %v", err)
		}
	})
}

func TestWithNothingOfThatNameNobodyIsAskedAbout(t *testing.T) {
	asks := &accounts{}
	api := &apiOfOthers{deployments: []appsv1.Deployment{deployment("ib-kubernetes", 0)}, leases: []coordinationv1.Lease{leaseOf("", time.Now())}}
	if err := newIncumbent(api, asks, time.Now).look(t.Context()); err != nil || len(asks.asked) > 0 {
		t.Errorf("%v, asked about %q", err, asks.asked)
	}
}

func TestEveryPlaceIsJudgedHoweverManyATenantMakes(t *testing.T) {
	api := &apiOfOthers{}
	for i := range 100 {
		api.deployments = append(api.deployments, ofTenant(fmt.Sprintf("team-%d", i), ""))
	}
	api.deployments = append(api.deployments, ofTenant("z", "ibk"))
	c, log := newcomer(t, api, &accounts{may: map[string]bool{"z/ibk": true}})
	err := c.stepAside(t.Context())
	if err == nil || !strings.Contains(err.Error(), "(deployment z/ib-kubernetes") {
		t.Errorf("the real one was missed: %v", err)
	}
	if diff := cmp.Diff(4, strings.Count(log.String(), "namesake.found")); diff != "" {
		t.Errorf("lines of the others (-want +got):\n%s", diff)
	}
}

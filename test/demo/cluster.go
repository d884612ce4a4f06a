package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// cluster is where the demo plays.
type cluster struct {
	bed        *testbed.Cluster // nil: somebody else's
	kubeconfig string
	api        client.Client
	created    []*unstructured.Unstructured // by us, in this order
}

func (d *demo) openCluster(ctx context.Context) (*cluster, error) {
	if d.kubeconfig != "" {
		return d.useCluster(ctx)
	}
	d.say("starting a control plane of our own (some seconds)")
	opts := []testbed.Option{testbed.WithScheduler(), testbed.WithNodes(2), testbed.WithLog(d.out)}
	for rail := 1; rail <= 8; rail++ {
		opts = append(opts, testbed.WithResource(fmt.Sprintf("spidernet.io/gpu%dsriov", rail), 12))
	}
	bed, err := testbed.Run(ctx, filepath.Join(d.dir, "cluster"), opts...)
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	c := &cluster{bed: bed, kubeconfig: bed.Kubeconfig()}
	if c.api, err = newClient(bed.Config()); err != nil {
		bed.Stop()
		return nil, err
	}
	return c, nil
}

// useCluster takes the cluster of KUBECONFIG, unless somebody there would serve the
// demo's pods too and tell a real UFM of them.
func (d *demo) useCluster(ctx context.Context) (*cluster, error) {
	for _, file := range filepath.SplitList(d.kubeconfig) {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("KUBECONFIG: %w; name a file that is there, or unset it to have a cluster started", err)
		}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read KUBECONFIG %s: %w", d.kubeconfig, err)
	}
	d.say("KUBECONFIG is set: using the cluster at %s (unset it to have one started)", config.Host)
	c := &cluster{kubeconfig: d.kubeconfig}
	config.Timeout = 10 * time.Second
	if c.api, err = newClient(config); err != nil {
		return nil, err
	}
	return c, c.mustBeQuiet(ctx)
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme, err := controller.Scheme()
	if err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster at %s: %w", config.Host, err)
	}
	return api, nil
}

func (c *cluster) mustBeQuiet(ctx context.Context) error {
	var leases coordinationv1.LeaseList
	if err := c.api.List(ctx, &leases); err != nil {
		return fmt.Errorf("look for another controller in the cluster of KUBECONFIG: %w; unset it to have a cluster started", err)
	}
	for _, l := range leases.Items {
		if strings.HasPrefix(l.Name, "ibfabric-") && isHeld(l.Spec, time.Now()) {
			return fmt.Errorf("an ibfabric-controller works in this cluster (%s, lease %s/%s) and would take the demo's pods for its own: stop it, or unset KUBECONFIG",
				*l.Spec.HolderIdentity, l.Namespace, l.Name)
		}
	}
	var deployments appsv1.DeploymentList
	if err := c.api.List(ctx, &deployments); err != nil {
		return fmt.Errorf("look for ib-kubernetes in the cluster: %w", err)
	}
	for _, dep := range deployments.Items {
		if strings.HasPrefix(dep.Name, "ib-kubernetes") && dep.Status.Replicas > 0 {
			return fmt.Errorf("ib-kubernetes works in this cluster (deployment %s/%s) and would take the demo's pods for its own: scale it to 0, or unset KUBECONFIG", dep.Namespace, dep.Name)
		}
	}
	return nil
}

func isHeld(s coordinationv1.LeaseSpec, now time.Time) bool {
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds) * time.Second))
}

func (c *cluster) stop() {
	if c != nil && c.bed != nil {
		c.bed.Stop()
	}
}

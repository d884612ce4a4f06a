package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/deploy"
)

// cluster is the cluster that is worked in, and what speaks with it.
type cluster struct {
	cfg    *rest.Config
	direct client.Client
	lease  *controller.Lease
	mgr    manager.Manager
}

// reach waits for the cluster and sees to what must be there.
func reach(ctx context.Context, s *settings, log *zap.Logger) (*cluster, error) {
	cfg, err := restConfig(s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme, err := controller.Scheme()
	if err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	at := &cluster{cfg: cfg}
	err = untilThere(ctx, log, func() (err error) {
		at.direct, err = prepareCluster(ctx, s, cfg, scheme)
		return err
	})
	if err != nil {
		return nil, err
	}
	if at.lease, err = newLease(s, cfg); err != nil {
		return nil, err
	}
	at.mgr, err = newManager(s, cfg, scheme, at.lease)
	return at, err
}

// restConfig reaches the cluster without a limit of our own: the API server has its own
// fair queues, and a pod that waits for ours waits for nothing.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w; set KUBECONFIG to a file that is there, or run in a pod", err)
	}
	cfg.QPS, cfg.UserAgent = -1, "ibfabric-controller"
	return cfg, nil
}

// prepareCluster makes the client that reads and writes directly, and sees to the CRDs.
func prepareCluster(ctx context.Context, s *settings, cfg *rest.Config, scheme *runtime.Scheme) (client.Client, error) {
	direct, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	if s.InstallCRDs {
		if err := controller.InstallCRDs(ctx, direct, deploy.CRDs); err != nil {
			return nil, err
		}
	}
	if err := prepareMultus(ctx, s, cfg, direct); err != nil {
		return nil, err
	}
	return direct, controller.CheckCRDs(ctx, direct)
}

// untilThere repeats a first step for as long as the API server is away: a controller
// that ends is restarted later and later.
func untilThere(ctx context.Context, log *zap.Logger, step func() error) error {
	for said := false; ; said = true {
		err := step()
		if err == nil || !controller.IsAway(err) {
			return err
		}
		if !said {
			log.Warn("the API server does not answer; trying on", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Second):
		}
	}
}

func newLease(s *settings, cfg *rest.Config) (*controller.Lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this replica: %w", err)
	}
	me := resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}
	lock := func() (resourcelock.Interface, error) {
		return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, s.Namespace, "ibfabric-"+s.Fabric, me, cfg, s.RenewFor)
	}
	elector, err := lock()
	if err != nil {
		return nil, fmt.Errorf("prepare the lease: %w", err)
	}
	holder := func(ctx context.Context) (string, error) {
		l, err := lock()
		if err != nil {
			return "", err
		}
		r, _, err := l.Get(ctx)
		if err != nil {
			return "", err
		}
		return r.HolderIdentity, nil
	}
	return &controller.Lease{Interface: elector, Valid: s.RenewFor, Now: now, Holder: holder}, nil
}

func identity(l *controller.Lease) string { return l.Identity() }

func newManager(s *settings, cfg *rest.Config, scheme *runtime.Scheme, lease *controller.Lease) (manager.Manager, error) {
	graceful := stopWithin
	mgr, err := manager.New(cfg, manager.Options{
		Scheme: scheme, Cache: controller.CacheOptions(),
		HealthProbeBindAddress: s.HealthAddr, Metrics: metricsserver.Options{BindAddress: s.MetricsAddr},
		GracefulShutdownTimeout: &graceful,
		LeaderElection:          s.LeaderElect, LeaderElectionResourceLockInterface: lease,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &s.LeaseDuration, RenewDeadline: &s.RenewFor, RetryPeriod: &s.RenewEvery,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	return mgr, nil
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/zapr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/ufm"
)

// stopWithin is how long a stop may take, a last write to UFM included.
const stopWithin = 10 * time.Second

// run wires the parts together, top to bottom, and works until ctx ends.
func run(ctx context.Context, s *settings) error {
	log, libraries, err := record.NewLogger(os.Stderr, s.LogFormat, s.LogLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(zapr.NewLogger(libraries))
	klog.SetLogger(zapr.NewLogger(libraries))

	fabric, err := newFabric(s, libraries)
	if err != nil {
		return err
	}
	cfg, err := restConfig(s.Kubeconfig)
	if err != nil {
		return err
	}
	scheme, err := controller.Scheme()
	if err != nil {
		return fmt.Errorf("build the scheme: %w", err)
	}
	var direct client.Client
	err = untilThere(ctx, libraries, func() error {
		direct, err = prepareCluster(ctx, s, cfg, scheme)
		return err
	})
	if err != nil {
		return err
	}
	lease, err := newLease(s, cfg)
	if err != nil {
		return err
	}
	mgr, err := newManager(s, cfg, scheme, lease)
	if err != nil {
		return err
	}
	rec := record.New(log, mgr.GetEventRecorder("ibfabric-controller"))
	if err := metrics.Registry.Register(rec); err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	pods, err := newPodCache(cfg)
	if err != nil {
		return err
	}
	parts := newPartitions(mgr, s, direct, rec)
	deps := controller.Deps{
		Pods: pods, Cache: mgr.GetCache(), Client: direct, Fabric: fabric, Record: rec, Identity: identity(lease),
		Now: time.Now, After: time.After, Grants: parts.grants, Changed: parts.lookAfter.Touch,
	}
	if s.LeaderElect {
		deps.Lease = lease
	}
	c, err := controller.New(s.Config, deps)
	if err != nil {
		return err
	}
	for _, m := range c.Metrics() {
		if err := metrics.Registry.Register(m); err != nil {
			return fmt.Errorf("register the metrics: %w", err)
		}
	}
	if err := addRunnables(ctx, mgr, pods, c); err != nil {
		return err
	}
	if err := parts.add(ctx, mgr, c, s.Policy); err != nil {
		return err
	}
	if err := addClaims(ctx, mgr, s, c, direct, rec); err != nil {
		return err
	}
	inject, err := addMultus(ctx, mgr, s, cfg, direct, rec)
	if err != nil {
		return err
	}
	if s.Webhooks.On {
		if err := addAdmission(ctx, mgr, s, parts.grants, inject); err != nil {
			return err
		}
	}
	rec.Log(record.ControllerStarted, record.Fields{Detail: describe(s)})
	return mgr.Start(ctx)
}

// newPodCache watches pods in the form that costs the API server and us the least.
func newPodCache(cfg *rest.Config) (*controller.PodCache, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.ContentType = runtime.ContentTypeProtobuf
	pods, err := corev1client.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster's pods: %w", err)
	}
	return controller.NewPodCache(pods)
}

func newFabric(s *settings, log *zap.Logger) (controller.Fabric, error) {
	switch s.Plugin {
	case "noop":
		return controller.Noop{}, nil
	case "ufm":
	default:
		return nil, fmt.Errorf("--sm-plugin %q: use ufm or noop", s.Plugin)
	}
	addresses, err := ufm.ParseAddresses(s.Addresses)
	if err != nil {
		return nil, err
	}
	source := ufm.Static(ufm.CredentialsFrom(os.Getenv))
	if s.SecretDir != "" {
		source = ufm.Dir(s.SecretDir)
	}
	return ufm.New(ufm.Config{
		Addresses: addresses, Scheme: s.Scheme, Port: s.Port, Credentials: source,
		// One call gets FabricTimeout in all: an address that hangs leaves time for the next.
		Timeout: s.FabricTimeout / time.Duration(len(addresses)), SkipVerify: s.SkipVerify, Log: log,
	})
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
	return &controller.Lease{Interface: elector, Valid: s.RenewFor, Now: time.Now, Holder: holder}, nil
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

// addRunnables puts the controller under the leader election, and the health checks
// beside it. A replica is ready when its caches are: it can take over at once. One that
// leads and waits for ib-kubernetes to go is not.
func addRunnables(ctx context.Context, mgr manager.Manager, pods *controller.PodCache, c *controller.Controller) error {
	if err := c.Prime(ctx); err != nil {
		return err
	}
	if err := mgr.Add(c); err != nil {
		return fmt.Errorf("add the controller: %w", err)
	}
	if err := mgr.Add(pods); err != nil {
		return fmt.Errorf("add the cache of pods: %w", err)
	}
	var synced atomic.Bool
	if err := mgr.Add(standby(func(ctx context.Context) error {
		synced.Store(mgr.GetCache().WaitForCacheSync(ctx) && pods.Synced(ctx))
		return nil
	})); err != nil {
		return fmt.Errorf("add the readiness watch: %w", err)
	}
	if err := mgr.AddHealthzCheck("alive", func(*http.Request) error { return nil }); err != nil {
		return fmt.Errorf("add the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", func(*http.Request) error {
		if !synced.Load() {
			return fmt.Errorf("the caches are not filled yet")
		}
		return nil
	}); err != nil {
		return fmt.Errorf("add the readiness check: %w", err)
	}
	// /readyz shows the names of checks alone, /readyz/ib-kubernetes-is-gone the reason too.
	return mgr.AddReadyzCheck("ib-kubernetes-is-gone", func(*http.Request) error { return c.Waiting() })
}

// standby runs on every replica, leader or not.
type standby func(context.Context) error

func (f standby) Start(ctx context.Context) error { return f(ctx) }

func (standby) NeedLeaderElection() bool { return false }

func describe(s *settings) string {
	target := s.Plugin
	if s.Plugin == "ufm" {
		target = fmt.Sprintf("%s://%s port %d", s.Scheme, s.Addresses, s.Port)
	}
	return fmt.Sprintf("version %s; fabric %s; %s; guids %v; pkeys %s; policy %s; hold %s; sync every %s",
		version(), s.Fabric, target, s.GUIDs, s.Scope, s.Policy, s.Hold, s.SyncEvery)
}

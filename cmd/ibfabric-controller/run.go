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
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
	"github.com/ibfabric/ibfabric/ufm"
)

// stopWithin is how long a stop may take, a last write to UFM included.
const stopWithin = 10 * time.Second

// run reaches the fabric and the cluster, and works until ctx ends.
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
	at, err := reach(ctx, s, libraries)
	if err != nil {
		return err
	}
	rec := record.New(log, at.mgr.GetEventRecorder("ibfabric-controller"))
	if err := wire(ctx, s, at, fabric, rec); err != nil {
		return err
	}
	rec.Log(record.ControllerStarted, record.Fields{Detail: describe(s)})
	return at.mgr.Start(ctx)
}

// wire gives the manager all that it is to run.
func wire(ctx context.Context, s *settings, at *cluster, fabric controller.Fabric, rec *record.Recorder) error {
	pods, err := newPodCache(at.cfg)
	if err != nil {
		return err
	}
	parts := newPartitions(at.mgr, s, at.direct, rec)
	book, asks := journal.NewBook(identity(at.lease), now), rights.New(at.direct, now)
	deps := controller.Deps{
		Pods: pods, Cache: at.mgr.GetCache(), Client: at.direct, Fabric: fabric, Record: rec, Identity: identity(at.lease),
		Now: now, After: time.After, Grants: parts.grants, Changed: parts.lookAfter.Touch,
		Journal: book, Rights: asks,
	}
	if s.LeaderElect {
		deps.Lease = at.lease
	}
	c, err := controller.New(s.Config, deps)
	if err != nil {
		return err
	}
	for _, m := range append(c.Metrics(), rec) {
		if err := metrics.Registry.Register(m); err != nil {
			return fmt.Errorf("register the metrics: %w", err)
		}
	}
	if err := addRunnables(ctx, at.mgr, pods, c); err != nil {
		return err
	}
	if err := addConsole(s, at, c, book, rec); err != nil {
		return err
	}
	if err := parts.add(ctx, at.mgr, c, s.Policy); err != nil {
		return err
	}
	if err := addClaims(ctx, at.mgr, s, c, at.direct, rec); err != nil {
		return err
	}
	inject, err := addMultus(ctx, at.mgr, s, at.cfg, at.direct, asks, rec)
	if err != nil {
		return err
	}
	pools, err := addPreflight(at.mgr, s, at.cfg, rec)
	if err != nil || !s.Webhooks.On {
		return err
	}
	return addAdmission(ctx, at.mgr, s, parts.grants, inject, pools, asks, rec)
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

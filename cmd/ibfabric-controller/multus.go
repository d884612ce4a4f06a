package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	appsv1client "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/admission"
	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
	"github.com/ibfabric/ibfabric/deploy"
)

// multusSettings say what is done with SpiderMultusConfigs.
type multusSettings struct {
	Mode             string // auto, on or off
	include, exclude string
	Served           multus.Namespaces
}

func (m *multusSettings) flags(fs *flag.FlagSet) {
	fs.StringVar(&m.Mode, "multus-configs", "auto", "`mode`: make networks of SpiderMultusConfigs, and inject them: auto (where the cluster has that kind), on (refuse to start where it has not) or off; where Spiderpool's own controller runs, nothing is done. Of several controllers in a cluster one does it, the others have off")
	fs.StringVar(&m.include, "inject-namespaces", "", "`namespaces`, by commas, whose pods may ask for networks by annotation (none: all)")
	fs.StringVar(&m.exclude, "inject-exclude-namespaces", "kube-system", "`namespaces`, by commas, whose pods may not ask for networks by annotation, whatever --inject-namespaces says")
}

func (m *multusSettings) check() error {
	switch m.Mode {
	case "auto", "on", "off":
	default:
		return fmt.Errorf("--multus-configs %q: use auto, on or off", m.Mode)
	}
	m.Served = multus.Namespaces{Include: names(m.include), Exclude: names(m.exclude)}
	return nil
}

func names(list string) (all []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// served tells whether the cluster has SpiderMultusConfigs.
func served(cfg *rest.Config) (func(context.Context) (bool, error), error) {
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return func(ctx context.Context) (bool, error) { return multus.Served(ctx, d) }, nil
}

// prepareMultus sees to the kind, where it is asked for.
func prepareMultus(ctx context.Context, s *settings, cfg *rest.Config, direct client.Client) error {
	if s.Multus.Mode == "off" {
		return nil
	}
	has, err := served(cfg)
	if err != nil {
		return err
	}
	if s.InstallCRDs {
		if err := multus.InstallCRD(ctx, direct, deploy.SpiderpoolCRDs, has); err != nil {
			return err
		}
	}
	if s.Multus.Mode == "auto" {
		return nil // the kind may come later
	}
	there, err := has(ctx)
	if err == nil && !there {
		err = errors.New("--multus-configs=on, and this cluster does not know SpiderMultusConfigs (spidermultusconfigs.spiderpool.spidernet.io): start with --install-crds, apply deploy/crds-spiderpool, or use --multus-configs=auto")
	}
	return err
}

// addMultus makes networks of SpiderMultusConfigs, and gives the step that injects them;
// nil with --multus-configs=off, and in a dry run, which changes nothing.
func addMultus(ctx context.Context, mgr manager.Manager, s *settings, cfg *rest.Config, direct client.Client, asks *rights.Reviewer, rec *record.Recorder) (admission.Inject, error) {
	if s.Multus.Mode == "off" || s.Policy == controller.DryRun {
		return nil, nil
	}
	has, err := served(cfg)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster's SpiderMultusConfigs: %w", err)
	}
	apps, err := appsv1client.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("look for Spiderpool: %w", err)
	}
	spiderpool, err := multus.NewSpiderpool(apps, asks, rec, now, time.After)
	if err != nil {
		return nil, err
	}
	// The webhook asks on every replica, and the first pod is not to wait for a cache.
	if _, err := mgr.GetCache().GetInformer(ctx, multus.NamespaceMetadata()); err != nil {
		return nil, fmt.Errorf("watch namespaces: %w", err)
	}
	configs := multus.NewConfigs(objects, has, spiderpool, time.After)
	for _, r := range []manager.Runnable{
		spiderpool, configs,
		&multus.Reconciler{Configs: configs, Spiderpool: spiderpool, Cache: mgr.GetCache(), Client: direct, Record: rec, Now: now},
		&multus.NamespaceLabels{Cache: mgr.GetCache(), Client: direct, Spiderpool: spiderpool, Served: s.Multus.Served, Record: rec, Now: now},
	} {
		if err := mgr.Add(r); err != nil {
			return nil, fmt.Errorf("add %T: %w", r, err)
		}
	}
	injector := &admission.Injector{Configs: configs, Namespaces: mgr.GetCache(), Served: s.Multus.Served}
	return injector.Inject, nil
}

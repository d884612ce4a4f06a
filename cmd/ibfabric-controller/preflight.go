package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/ibfabric/ibfabric/controller/admission"
	"github.com/ibfabric/ibfabric/controller/optional"
	"github.com/ibfabric/ibfabric/controller/preflight"
	"github.com/ibfabric/ibfabric/controller/record"
)

// addPreflight looks at what other operators are told, and gives the webhooks what it knows
// of pools. Of several controllers the one does it that looks after SpiderMultusConfigs.
func addPreflight(mgr manager.Manager, s *settings, cfg *rest.Config, rec *record.Recorder) (admission.Pools, error) {
	if s.Multus.Mode == "off" {
		return nil, nil
	}
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	objects, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the objects of other operators: %w", err)
	}
	served := func(ctx context.Context, kind schema.GroupVersionResource) (bool, error) {
		return optional.Served(ctx, d, kind)
	}
	others := preflight.NewOthers(objects, served, rec, time.After)
	for _, r := range []manager.Runnable{
		others, &preflight.Teller{Others: others, Cache: mgr.GetCache(), Record: rec, After: time.After},
	} {
		if err := mgr.Add(r); err != nil {
			return nil, fmt.Errorf("add %T: %w", r, err)
		}
	}
	return others, nil
}

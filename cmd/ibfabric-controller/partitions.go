package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/partition"
	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/pkey"
)

// partitionSettings say how Partitions are dealt with.
type partitionSettings struct {
	Require bool
	Range   pkey.Scope
	text    string
}

func (p *partitionSettings) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.text, "pkey-range", "", "`PKeys` to choose from for Partitions without spec.pkey, as 0x1000-0x1fff; nobody may use one of them without a Partition (none: each must name its own)")
	fs.BoolVar(&p.Require, "require-partition", false, "let only those PKeys be used that have a Partition; without it the others are open to every namespace")
}

// check reads the range. One that reaches out of the scope would give Partitions PKeys that
// nobody could use.
func (p *partitionSettings) check(scope pkey.Scope) error {
	if p.text == "" {
		return nil
	}
	var err error
	if p.Range, err = pkey.ParseScope(p.text); err != nil {
		return fmt.Errorf("--pkey-range: %w", err)
	}
	for _, r := range p.Range {
		for k := r.First; k <= r.Last; k++ {
			if !scope.Contains(k) {
				return fmt.Errorf("--pkey-range %s: pkey %s is outside --pkey-scope %s; choose a range inside it", p.text, k, scope)
			}
		}
	}
	return nil
}

// statusEvery is the shortest time between two writes of a Partition's status.
const statusEvery = time.Second

// partitions are the parts that follow the cluster's Partitions: the grants on every
// replica, and who looks after them on the leader.
type partitions struct {
	grants    *grant.Watcher
	lookAfter *partition.Reconciler
}

func newPartitions(mgr manager.Manager, s *settings, direct client.Client, rec *record.Recorder) partitions {
	grants := grant.NewWatcher(mgr.GetCache(), s.Networks, grant.Policy{Require: s.Partitions.Require, Range: s.Partitions.Range})
	return partitions{grants, partition.New(
		partition.Config{Mine: s.Networks, Range: s.Partitions.Range, Scope: s.Scope, Every: statusEvery, Resync: s.SyncEvery},
		partition.Deps{Cache: mgr.GetCache(), Client: direct, Grants: grants, Record: rec, Now: now, After: time.After},
	)}
}

// add has the manager run them. A replica is ready when it knows the Partitions: its
// webhooks ask for them too.
func (p partitions) add(ctx context.Context, mgr manager.Manager, c *controller.Controller, policy controller.SyncPolicy) error {
	p.lookAfter.Facts = c
	if err := p.grants.Prime(ctx); err != nil {
		return err
	}
	if err := mgr.Add(p.grants); err != nil {
		return fmt.Errorf("add the watch of partitions: %w", err)
	}
	if policy != controller.DryRun { // which writes nothing, statuses included
		if err := mgr.Add(p.lookAfter); err != nil {
			return fmt.Errorf("add the controller of partitions: %w", err)
		}
	}
	return mgr.AddReadyzCheck("partitions", func(*http.Request) error {
		if !p.grants.IsSynced() {
			return errors.New("the Partitions have not been read yet")
		}
		return nil
	})
}

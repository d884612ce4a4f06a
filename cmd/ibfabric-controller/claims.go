package main

import (
	"context"
	"flag"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/claim"
	"github.com/ibfabric/ibfabric/controller/record"
)

// claimSettings say what PartitionClaims may do.
type claimSettings struct {
	sources string
}

func (c *claimSettings) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.sources, "claim-sources-from", "", "`namespaces`, by commas, whose networks every PartitionClaim may copy, and who makes claims can read so (none: each those of its own namespace)")
}

// addClaims has the leader look after PartitionClaims.
func addClaims(ctx context.Context, mgr manager.Manager, s *settings, c *controller.Controller, direct client.Client, rec *record.Recorder) error {
	if s.Policy == controller.DryRun { // which writes nothing
		return nil
	}
	r := claim.New(claim.Config{Mine: s.Networks, Sources: names(s.Claims.sources)}, claim.Deps{
		Cache: mgr.GetCache(), Client: direct, Record: rec, Now: now, Adopted: c.Adopted(),
	})
	if err := r.Prime(ctx); err != nil {
		return err
	}
	if err := mgr.Add(r); err != nil {
		return fmt.Errorf("add the controller of partition claims: %w", err)
	}
	return nil
}

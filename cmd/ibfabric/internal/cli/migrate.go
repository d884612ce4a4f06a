package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/migrate"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) migrate() *cobra.Command {
	var values bool
	c := &cobra.Command{
		Use: "migrate", Short: "How to move here from ib-kubernetes: what is there, what becomes of it, and the next step",
		Long: `migrate looks at ib-kubernetes, at the NicClusterPolicy that may run it, at networks and pods, and at
what of ibfabric is there already. It says what each setting becomes, which pods would not be taken over
and why, and the command for the next step. It changes nothing, and keeps no note: run it again after
each step. It exits with 1 when something is to be mended.

With --values it prints the values for the chart instead, without a credential in them.`,
		Example: `  ibfabric migrate
  ibfabric migrate --values > values.yaml
  ibfabric migrate -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if values && a.output != asTable {
				return fault.New(fault.Usage, "--values are YAML, and have no other form", nil, "ibfabric migrate --values", "ibfabric migrate -o "+a.output+"     # has the values too")
			}
			report, err := a.examineMove(cmd.Context())
			if err != nil {
				return err
			}
			if values {
				return a.printValues(report)
			}
			err = a.print(report, func(w io.Writer) error { return report.Write(w, a.Color) })
			if err == nil && !report.OK {
				return fault.ErrFound
			}
			return err
		},
	}
	c.Flags().BoolVar(&values, "values", false, "print a values.yaml for the chart")
	a.outputFlag(c)
	return c
}

// examineMove looks at the cluster, and asks whoever leads where a controller is.
func (a *app) examineMove(ctx context.Context) (r migrate.Report, err error) {
	cluster, err := a.options.Cluster()
	if err != nil {
		return r, err
	}
	progress := a.progress("reading the cluster")
	f := migrate.Look(ctx, cluster.API)
	progress.Done()
	if len(f.Controllers.Value) > 0 {
		f.Overview = &facts.Fact[api.Overview]{}
		f.Overview.Err = a.askIn(cluster, func(c *client.Client, _ *show.Progress) (err error) {
			f.Overview.Value, err = client.Get[api.Overview](ctx, c, api.PathOverview, api.Query{})
			return err
		})
	}
	return migrate.Examine(f, a.Now()), ctx.Err()
}

// printValues prints them also where something is to be mended, which is said beside.
func (a *app) printValues(r migrate.Report) error {
	if r.Values == nil {
		return fault.New(fault.NotFound, "there are no settings of ib-kubernetes here to make values of", nil, "ibfabric migrate     # what is there")
	}
	text, err := r.Values.YAML(r.Namespace)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(a.Out, text); err != nil {
		return err
	}
	if !r.OK {
		return fault.New(fault.Found, "something is to be mended before these values are right", nil, "ibfabric migrate")
	}
	return nil
}

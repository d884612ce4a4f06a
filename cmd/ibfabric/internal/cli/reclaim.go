package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

func (a *app) reclaim() *cobra.Command {
	var yes, all, dryRun bool
	c := &cobra.Command{
		Use: "reclaim PKEY (GUID... | --all)", Short: "Remove unclaimed members from UFM, by name",
		Long: `reclaim removes members from one partition of UFM that are of this controller's GUID range and that no
row of its ledger explains. It asks first, with the list.

Only you know that they are nobody's: the members of another cluster with the same GUID range look
the same. ibfabric partitions PKEY --kind unclaimed lists them.`,
		Example: `  ibfabric reclaim 0x1000 02:00:00:00:00:00:00:2a
  ibfabric reclaim 0x1000 --all --dry-run`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			members, err := membersNamed(args)
			if err != nil {
				return err
			}
			if all == (len(args) > 1) {
				return fault.New(fault.Usage, "name the members, or say --all", nil, "ibfabric partitions "+args[0]+" --kind unclaimed")
			}
			return a.ask(func(c *client.Client, p *show.Progress) error {
				if all {
					if members, err = unclaimed(cmd.Context(), c, p, args[0]); err != nil {
						return err
					}
				}
				return a.doReclaim(cmd.Context(), c, p, members, yes, dryRun)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all unclaimed members of the partition")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "check, and remove nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	a.outputFlag(c)
	return c
}

func membersNamed(args []string) (members []api.MemberName, err error) {
	p, err := parsePKey(args[0])
	if err != nil {
		return nil, err
	}
	for _, text := range args[1:] {
		g, err := parseGUID(text)
		if err != nil {
			return nil, err
		}
		members = append(members, api.MemberName{PKey: p, GUID: g})
	}
	return members, nil
}

func unclaimed(ctx context.Context, c *client.Client, p *show.Progress, partition string) (members []api.MemberName, err error) {
	key, err := pkey.ParseUFM(partition)
	if err != nil {
		return nil, err
	}
	path := client.Path(api.PathMembers, "pkey", key.String())
	list, err := client.All[api.Member](ctx, c, path, api.Query{Kind: api.Unclaimed}, 0, func(n, total int) { p.Say("%d of %d members", n, total) })
	for _, m := range list.Items {
		members = append(members, api.MemberName{PKey: m.PKey, GUID: m.GUID})
	}
	return members, err
}

// doReclaim checks all members, asks, and has those removed that can be.
func (a *app) doReclaim(ctx context.Context, c *client.Client, p *show.Progress, members []api.MemberName, yes, dryRun bool) error {
	p.Say("checking %d members", len(members))
	return verb[api.MemberName, api.ReclaimResult]{
		ask: func(members []api.MemberName, dryRun bool) ([]api.ReclaimResult, error) {
			answer, err := client.Post[api.ReclaimAnswer](ctx, c, api.PathReclaim, api.ReclaimRequest{Members: members, DryRun: dryRun})
			return answer.Results, err
		},
		ok:    func(r api.ReclaimResult) bool { return r.Removed },
		thing: func(r api.ReclaimResult) api.MemberName { return r.MemberName },
		line:  func(r api.ReclaimResult) string { return fmt.Sprintf("  %s  %s\n", r.PKey, r.GUID) },
		question: func(n int) string {
			return fmt.Sprintf("Remove from UFM what is listed (%d)? Nobody puts it back.", n)
		},
		print: a.reclaimed, done: "removed",
	}.run(a, p, members, yes, dryRun)
}

// reclaimed prints what became of the members.
func (a *app) reclaimed(results []api.ReclaimResult, done string) error {
	return a.print(api.ReclaimAnswer{Results: results}, func(w io.Writer) error {
		if len(results) == 0 {
			_, err := fmt.Fprintln(a.Err, "no unclaimed members")
			return err
		}
		t := show.NewTable("PKEY", "GUID", "OUTCOME")
		for _, r := range results {
			t.Row(r.PKey.String(), r.GUID.String(), outcomeText(r.Removed, done, r.Error))
		}
		return t.Write(w)
	})
}

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
	"github.com/ibfabric/ibfabric/guid"
)

func (a *app) release() *cobra.Command {
	var yes, dryRun bool
	var node string
	c := &cobra.Command{
		Use: "release (GUID... | --node NODE)", Short: "Vouch that held GUIDs' node is gone for good",
		Long: `release frees held GUIDs from the wait for their node. A GUID whose pod ended is held until its node has
shown that the pod's containers stopped. A node that never comes back shows nothing: then it takes
your word. It asks first, with the list. The hold time passes all the same.

If the node is not gone, and a container runs on it still, that container and the next pod will have
one GUID. Power it off, or take it out of the fabric, before you say so.`,
		Example: `  ibfabric release --node gpu-17
  ibfabric release 02:00:00:00:00:00:00:2a`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (node == "") == (len(args) == 0) {
				return fault.New(fault.Usage, "name the GUIDs, or the node with --node", nil, "ibfabric guids --state held")
			}
			named := map[guid.GUID]bool{}
			for _, text := range args {
				g, err := parseGUID(text)
				if err != nil {
					return err
				}
				named[g] = true
			}
			return a.ask(func(c *client.Client, p *show.Progress) error {
				rows, err := held(cmd.Context(), c, p, func(g api.GUID) bool { return node != "" && g.Node == node || named[g.GUID] })
				if err != nil {
					return err
				}
				if node != "" && len(rows) == 0 {
					return fault.New(fault.NotFound, "no GUID is held for node "+node, nil, "ibfabric guids --state held")
				}
				for _, g := range rows {
					delete(named, g.GUID)
				}
				for g := range named { // the controller says why not
					rows = append(rows, api.GUID{GUID: g})
				}
				return a.doRelease(cmd.Context(), c, p, rows, yes, dryRun)
			})
		},
	}
	c.Flags().StringVar(&node, "node", "", "all held GUIDs of this `node`")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "check, and release nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	a.outputFlag(c)
	return c
}

func held(ctx context.Context, c *client.Client, p *show.Progress, want func(api.GUID) bool) (rows []api.GUID, err error) {
	all, err := client.All[api.GUID](ctx, c, api.PathGUIDs, api.Query{State: string(api.Held)}, 0, func(n, total int) { p.Say("%d of %d held GUIDs", n, total) })
	for _, g := range all.Items {
		if g.State == api.Held && want(g) {
			rows = append(rows, g)
		}
	}
	return rows, err
}

// doRelease checks all GUIDs, asks, and has those released that can be.
func (a *app) doRelease(ctx context.Context, c *client.Client, p *show.Progress, rows []api.GUID, yes, dryRun bool) error {
	var all []guid.GUID
	about := map[guid.GUID]api.GUID{}
	for _, r := range rows {
		all = append(all, r.GUID)
		about[r.GUID] = r
	}
	return verb[guid.GUID, api.ReleaseResult]{
		ask: func(guids []guid.GUID, dryRun bool) ([]api.ReleaseResult, error) {
			answer, err := client.Post[api.ReleaseAnswer](ctx, c, api.PathRelease, api.ReleaseRequest{GUIDs: guids, DryRun: dryRun})
			return answer.Results, err
		},
		ok:    func(r api.ReleaseResult) bool { return r.Released },
		thing: func(r api.ReleaseResult) guid.GUID { return r.GUID },
		line: func(r api.ReleaseResult) string {
			row := about[r.GUID]
			return fmt.Sprintf("  %s  last of %s on node %s, held for %s\n", r.GUID, show.Clean(row.Pod.String()), show.Clean(row.Node), show.Age(row.Since, a.Now()))
		},
		question: func(n int) string {
			return fmt.Sprintf("Are their nodes gone for good, so that no container uses these %d GUIDs?", n)
		},
		print: a.released, done: "released",
	}.run(a, p, all, yes, dryRun)
}

// released prints what became of the GUIDs.
func (a *app) released(results []api.ReleaseResult, done string) error {
	return a.print(api.ReleaseAnswer{Results: results}, func(w io.Writer) error {
		t := show.NewTable("GUID", "OUTCOME", "FREE")
		for _, r := range results {
			t.Row(r.GUID.String(), outcomeText(r.Released, done, r.Error), show.When(r.FreeAt, a.Now()))
		}
		return t.Write(w)
	})
}

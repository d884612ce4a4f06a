package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) nodes() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "nodes", Aliases: []string{"node"}, Short: "Nodes, and how full their PKey tables are",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[api.Node]{
				path: api.PathNodes, what: "nodes", limit: limit,
				header: []string{"NODE", "READY", "FOR", "PODS", "PKEYS", "HELD", "WHICH"},
				row: func(n api.Node) []string {
					ready := yesNo(n.Ready)
					if !n.Known {
						ready = "gone"
					}
					used := strconv.Itoa(n.Needed)
					if n.Limit > 0 {
						used = fmt.Sprintf("%d/%d", n.Needed, n.Limit)
					}
					return []string{n.Name, ready, show.Age(n.Since, a.Now()), strconv.Itoa(n.Pods), used, strconv.Itoa(n.Held), show.Some(n.PKeys, 8)}
				},
			}
			_, err := l.show(a, cmd, api.Query{})
			return err
		},
	}
	limitFlag(c, &limit)
	a.outputFlag(c)
	return c
}

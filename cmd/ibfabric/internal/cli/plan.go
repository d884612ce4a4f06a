package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) plan() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "plan", Short: "What would be changed in UFM now; nothing is done by asking",
		Long: `plan lists the changes of UFM that are due, by partition. With the sync policy dry-run none of them is
done, and this is what the controller would do.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[api.Step]{
				path: api.PathPlan, what: "changes", limit: limit,
				header: []string{"CHANGE", "PKEY", "MEMBERSHIP", "GUIDS", "PODS", "WHY", "WAITS"},
				row: func(s api.Step) []string {
					return []string{string(s.Verb), s.PKey.String(), s.Membership, strconv.Itoa(s.Count), show.Some(s.Pods, 3), s.Why, s.Waits}
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

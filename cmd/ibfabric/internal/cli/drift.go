package cli

import (
	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) drift() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "drift", Short: "Where UFM differs from what the cluster wants, and what mends it",
		Long: `drift lists every difference between UFM and the ledger beside what is on its way in or out. Most of it
is mended without you. It exits with 1 when there is any.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[api.Drift]{
				path: api.PathDrift, what: "drift", limit: limit,
				header: []string{"KIND", "PKEY", "GUID", "POD", "WHAT", "MEND"},
				row: func(d api.Drift) []string {
					g := ""
					if d.GUID != 0 {
						g = d.GUID.String()
					}
					return []string{string(d.Kind), d.PKey.String(), g, podText(d.Pod), d.What, d.Mend}
				},
			}
			list, err := l.show(a, cmd, api.Query{})
			if err == nil && len(list.Items) > 0 {
				return fault.ErrFound
			}
			return err
		},
	}
	limitFlag(c, &limit)
	a.outputFlag(c)
	return c
}

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) pods() *cobra.Command {
	var limit int
	var state string
	states := []api.PodState{api.PodWaiting, api.PodRefused, api.PodConfigured, api.PodIgnored, api.PodLeaving}
	c := &cobra.Command{
		Use: "pods", Aliases: []string{"pod"}, Short: "Pods on the fabric, what they have and what they wait for",
		Long: `pods lists the pods of all namespaces, or of the one that -n names.`,
		Example: `  ibfabric pods --state waiting
  ibfabric pods -n team-a -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", api.PodState(state), states); err != nil {
				return err
			}
			l := listing[api.PodSummary]{
				path: api.PathPods, what: "pods", limit: limit,
				header: []string{"NAMESPACE", "NAME", "STATE", "FOR", "NODE", "GUIDS", "PKEYS", "WHY"},
				row: func(p api.PodSummary) []string {
					return []string{
						p.Namespace, p.Name, string(p.State), show.Age(p.Since, a.Now()), p.Node,
						fmt.Sprintf("%d/%d", len(p.GUIDs), p.Interfaces), show.Some(p.PKeys, 4), p.Why,
					}
				},
			}
			_, err := l.show(a, cmd, api.Query{State: state, Namespace: a.options.Overrides.Context.Namespace})
			return err
		},
	}
	c.Flags().StringVar(&state, "state", "", "only pods in this `state`: waiting, refused, configured, ignored or leaving")
	complete(c, "state", states...)
	limitFlag(c, &limit)
	a.outputFlag(c)
	return c
}

// oneOf refuses what is not one of some values; "" is none of them and allowed.
func oneOf[T ~string](flag string, value T, of []T) error {
	if value == "" {
		return nil
	}
	for _, v := range of {
		if v == value {
			return nil
		}
	}
	return fault.New(fault.Usage, fmt.Sprintf("--%s %q: write one of %v", flag, string(value), of), nil)
}

package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) guids() *cobra.Command {
	var limit int
	var state string
	states := []api.RowState{api.Assigned, api.Leaving, api.Held}
	c := &cobra.Command{
		Use: "guids", Aliases: []string{"guid"}, Short: "GUIDs of the ledger, and whose they are",
		Long: `guids lists the ledger: a GUID is assigned while its pod lives, leaving while UFM has it still, and
held until nobody can be using it any more.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", api.RowState(state), states); err != nil {
				return err
			}
			_, err := a.guidListing(limit).show(a, cmd, api.Query{State: state})
			return err
		},
	}
	c.Flags().StringVar(&state, "state", "", "only GUIDs in this `state`: assigned, leaving or held")
	complete(c, "state", states...)
	limitFlag(c, &limit)
	a.outputFlag(c)
	return c
}

func (a *app) guidListing(limit int) listing[api.GUID] {
	return listing[api.GUID]{
		path: api.PathGUIDs, what: "GUIDs", limit: limit,
		header: []string{"GUID", "STATE", "FOR", "POD", "INTERFACE", "NODE", "PKEYS", "WAITS"},
		row: func(g api.GUID) []string {
			return []string{
				g.GUID.String(), string(g.State), show.Age(g.Since, a.Now()), g.Pod.String(), g.Interface, g.Node, claimPKeys(g.Claims), a.waits(g.LedgerRow),
			}
		},
	}
}

// waits says what a row waits for, and when it is free.
func (a *app) waits(r api.LedgerRow) string {
	switch {
	case r.Waits != "":
		return r.Waits
	case !r.FreeAt.IsZero() && r.FreeAt.After(a.Now()):
		return "free in " + show.Age(a.Now(), r.FreeAt)
	case !r.Stored:
		return "to be stored"
	}
	return ""
}

func claimPKeys(claims []api.Claim) string {
	var list []string
	for _, c := range claims {
		text := c.PKey.String()
		if c.Membership != "" && c.Membership != "full" {
			text += ":" + c.Membership
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

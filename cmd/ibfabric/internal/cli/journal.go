package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
)

func (a *app) journal() *cobra.Command {
	var limit int
	var partition, number, pod string
	c := &cobra.Command{
		Use: "journal", Short: "What was changed in UFM, when, by which leader, and why",
		Long: `journal lists the changes of UFM, newest first, across leaders. How many there are is bounded: the
oldest go.`,
		Example: `  ibfabric journal --limit 20
  ibfabric journal --pkey 0x1000
  ibfabric journal --pod team-a/train-0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := journalQuery(partition, number)
			if err != nil {
				return err
			}
			if pod != "" {
				cluster, err := a.options.Cluster()
				if err != nil {
					return err
				}
				if q.Pod.Namespace, q.Pod.Name, err = podArgument(pod, cluster.Namespace); err != nil {
					return err
				}
			}
			_, err = a.entryListing(limit).show(a, cmd, q)
			return err
		},
	}
	c.Flags().StringVar(&partition, "pkey", "", "only changes of this `PKey`")
	c.Flags().StringVar(&number, "guid", "", "only changes of this `GUID`")
	c.Flags().StringVar(&pod, "pod", "", "only changes for this `pod`: NAME, or NAMESPACE/NAME")
	c.Flags().IntVar(&limit, "limit", 100, "show no more than this `number` (0: all)")
	a.outputFlag(c)
	return c
}

func journalQuery(partition, number string) (q api.Query, err error) {
	if partition != "" {
		if q.PKey, err = parsePKey(partition); err != nil {
			return q, err
		}
	}
	if number != "" {
		if q.GUID, err = parseGUID(number); err != nil {
			return q, err
		}
	}
	return q, nil
}

func parseGUID(text string) (guid.GUID, error) {
	g, err := guid.Parse(text)
	if err != nil {
		return 0, fault.New(fault.Usage, "", err)
	}
	return g, nil
}

func (a *app) entryListing(limit int) listing[api.Entry] {
	return listing[api.Entry]{
		path: api.PathJournal, what: "changes", limit: limit,
		header: []string{"WHEN", "CHANGE", "PKEY", "GUIDS", "PODS", "OUTCOME", "TOOK", "BY", "WHY"},
		row: func(e api.Entry) []string {
			p := ""
			if e.PKey != 0 {
				p = e.PKey.String()
			}
			outcome := string(e.Outcome)
			if e.Times > 1 {
				outcome += fmt.Sprintf(" (%d times)", e.Times)
			}
			by := e.User
			if by == "" {
				by = e.Leader
			}
			took := ""
			if e.Took > 0 {
				took = time.Duration(e.Took).Round(time.Millisecond).String()
			}
			return []string{e.At.UTC().Format(time.RFC3339), string(e.Verb), p, entryGUIDs(e), show.Some(e.Pods, 3), outcome, took, by, join(e.Why, e.Error)}
		},
	}
}

// entryGUIDs names one GUID, and counts several.
func entryGUIDs(e api.Entry) string {
	if e.Count == 1 && len(e.GUIDs) == 1 {
		return e.GUIDs[0].String()
	}
	if e.Count == 0 {
		return ""
	}
	return fmt.Sprint(e.Count)
}

func join(why, failed string) string {
	if failed == "" {
		return why
	}
	return why + "; " + failed
}

package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

func (a *app) partitions() *cobra.Command {
	var limit int
	var kind string
	kinds := []api.MemberKind{api.Ours, api.Unclaimed, api.Foreign}
	c := &cobra.Command{
		Use: "partitions [PKEY]", Aliases: []string{"partition", "pkeys"}, Short: "Partitions, or one with its members",
		Example: `  ibfabric partitions
  ibfabric partitions 0x1000 --kind unclaimed`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("kind", api.MemberKind(kind), kinds); err != nil {
				return err
			}
			if len(args) == 0 {
				_, err := a.partitionListing(limit).show(a, cmd, api.Query{})
				return err
			}
			p, err := parsePKey(args[0])
			if err != nil {
				return err
			}
			return a.partition(cmd, p, api.Query{Kind: api.MemberKind(kind)}, limit)
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "only members of this `kind`: ours, unclaimed or foreign")
	complete(c, "kind", kinds...)
	limitFlag(c, &limit)
	a.outputFlag(c)
	return c
}

// parsePKey reads a PKey of the command line. Also that of the default partition, which no
// network may name: people ask about what UFM shows.
func parsePKey(text string) (pkey.PKey, error) {
	p, err := pkey.ParseUFM(text)
	if err != nil {
		return 0, fault.New(fault.Usage, "", err)
	}
	return p, nil
}

func (a *app) partitionListing(limit int) listing[api.Partition] {
	return listing[api.Partition]{
		path: api.PathPartitions, what: "partitions", limit: limit,
		header: []string{"PKEY", "NAME", "IN UFM", "MEMBERS", "PENDING", "LEAVING", "UNCLAIMED", "FOREIGN", "DRIFT", "WAITING", "NOTE"},
		row: func(p api.Partition) []string {
			m := p.Members
			return []string{
				p.PKey.String(), p.Name, yesNo(p.InUFM), fmt.Sprintf("%d/%d", m.Actual, m.Desired), strconv.Itoa(m.Pending), strconv.Itoa(m.Leaving),
				strconv.Itoa(m.Unclaimed), strconv.Itoa(m.Foreign), strconv.Itoa(p.Drift), strconv.Itoa(p.Waiting), partitionNote(p),
			}
		},
	}
}

func partitionNote(p api.Partition) string {
	switch {
	case !p.InScope:
		return "outside of what this controller may change"
	case !p.Known:
		return "not known now: " + p.Unknown
	case p.QoSError != "":
		return "quality of service: " + p.QoSError
	}
	return ""
}

// partitionPage is a partition and its members, for -o json.
type partitionPage struct {
	api.Partition
	List api.List[api.Member] `json:"list"`
}

func (a *app) partition(cmd *cobra.Command, p pkey.PKey, q api.Query, limit int) (err error) {
	members := listing[api.Member]{
		path: client.Path(api.PathMembers, "pkey", p.String()), what: "members", limit: limit,
		header: []string{"GUID", "KIND", "WANTED", "IN UFM", "STATE", "FOR", "POD", "INTERFACE", "NODE", "MISSING"},
		row: func(m api.Member) []string {
			return []string{m.GUID.String(), string(m.Kind), m.Wanted, m.Shown, string(m.State), show.Age(m.Since, a.Now()), podText(m.Pod), m.Interface, m.Node, m.Missing}
		},
	}
	var page partitionPage
	err = a.ask(func(c *client.Client, progress *show.Progress) error {
		page.Partition, err = client.Get[api.Partition](cmd.Context(), c, client.Path(api.PathPartition, "pkey", p.String()), api.Query{})
		if err == nil {
			page.List, err = members.get(cmd, c, progress, q)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(page, func(w io.Writer) error {
		if err := writePartition(w, page.Partition); err != nil {
			return err
		}
		return members.write(a, w, page.List)
	})
}

func writePartition(w io.Writer, p api.Partition) error {
	f := show.NewFields("")
	f.Add("PKey", p.PKey.String())
	f.Add("Partition", p.Name)
	f.Add("In UFM", yesNo(p.InUFM))
	f.Add("Members", countsLine(p.Members))
	if p.MaxMembers > 0 {
		f.Addf("Quota", "%d members", p.MaxMembers)
	}
	f.Addf("Drift", "%d", p.Drift)
	f.Add("Shown by", p.From)
	if p.QoS != nil {
		f.Addf("QoS", "MTU limit %d, rate limit %g Gb/s, service level %d", p.QoS.MTULimit, p.QoS.RateLimit, p.QoS.ServiceLevel)
	}
	f.Add("Note", partitionNote(p))
	if err := f.Write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func podText(p *api.PodName) string {
	if p == nil {
		return ""
	}
	return p.String()
}

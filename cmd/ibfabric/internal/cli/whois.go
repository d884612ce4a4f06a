package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) whois() *cobra.Command {
	c := &cobra.Command{
		Use: "whois GUID|PKEY", Short: "Whose is what UFM shows? A GUID or a PKey, in any spelling",
		Long: `whois is for whoever looks at UFM and sees a number: it says which pod, since when, and what was
changed of it. A GUID may be written as 0200000000000007, 0x0200000000000007, 02:00:00:00:00:00:00:07
or 0200:0000:0000:0007; a PKey as 0x1000.`,
		Example: `  ibfabric whois 0200000000000007
  ibfabric whois 0x1000`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var who api.Whois
			err = a.ask(func(c *client.Client, _ *show.Progress) error {
				who, err = client.Get[api.Whois](cmd.Context(), c, api.PathWhois, api.Query{Text: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			return a.print(who, func(w io.Writer) error { return a.writeWhois(w, who) })
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) writeWhois(w io.Writer, who api.Whois) error {
	for _, line := range who.Answer {
		if _, err := fmt.Fprintln(w, show.Clean(line)); err != nil {
			return err
		}
	}
	f := show.NewFields("")
	if g := who.GUID; g != nil {
		f.Add("GUID", g.GUID.String())
		f.Add("In our range", yesNo(g.Range))
		if r := g.Row; r != nil {
			f.Add("Pod", r.Pod.String())
			f.Add("Pod UID", r.Pod.UID)
			f.Add("Interface", r.Interface)
			f.Add("Network", r.Network)
			f.Add("Ledger", a.rowText(&r.LedgerRow))
		}
		for _, s := range g.UFM {
			f.Add("UFM", a.standingText(s))
		}
	}
	if p := who.PKey; p != nil {
		f.Add("PKey", p.PKey.String())
		f.Add("Partition", p.Name)
		f.Add("In UFM", yesNo(p.InUFM))
		f.Add("Members", countsLine(p.Members))
		f.Add("Note", partitionNote(*p))
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := f.Write(w); err != nil || len(who.Journal) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	entries := a.entryListing(0)
	return entries.write(a, w, api.List[api.Entry]{Items: who.Journal})
}

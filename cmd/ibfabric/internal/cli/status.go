package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) status() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Is the fabric as the cluster wants it? Who leads, how is UFM, what waits longest?",
		Long: `status shows the fabric in a few lines: who leads, whether UFM answers, drift, members, and the pod
that waits longest. It exits with 1 when something is to be mended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var o api.Overview
			err = a.ask(func(c *client.Client, _ *show.Progress) error {
				o, err = client.Get[api.Overview](cmd.Context(), c, api.PathOverview, api.Query{})
				return err
			})
			if err != nil {
				return err
			}
			if err := a.print(o, func(w io.Writer) error { return writeStatus(w, o, a.Now()) }); err != nil {
				return err
			}
			if needsCare(o) {
				return fault.ErrFound
			}
			return nil
		},
	}
	a.outputFlag(c)
	return c
}

// needsCare reports whether a person is to look. Pods that wait for their turn are no
// reason.
func needsCare(o api.Overview) bool {
	return o.Leader.Blocked != "" || !o.Leader.Adopted || !o.UFM.Reads.OK || !o.UFM.Writes.OK || o.Drift > 0 || o.Nodes.Over > 0 || len(o.Notices) > 0
}

func writeStatus(w io.Writer, o api.Overview, now time.Time) error {
	f := show.NewFields("")
	f.Addf("Fabric", "%s, controller %s in namespace %s", o.Fabric, o.Version, o.Namespace)
	policy := o.Policy
	if o.DryRun {
		policy += " (nothing is changed)"
	}
	f.Add("Policy", policy)
	f.Add("Leader", leaderLine(o.Leader, now))
	f.Add("UFM", ufmLine(o.UFM))
	f.Add("  reads", healthLine(o.UFM.Reads, now))
	f.Add("  writes", healthLine(o.UFM.Writes, now))
	if !o.UFM.Full.At.IsZero() {
		f.Addf("  full read", "%s ago from %s, took %s; at least every %s", show.Age(o.UFM.Full.At, now), o.UFM.Full.From, o.UFM.Full.Took, o.UFM.Full.Every)
	}
	f.Add("In sync", yesNo(o.InSync))
	f.Addf("Drift", "%d (since this leader: %d found, %d repaired)", o.Drift, o.DriftFound, o.DriftRepaired)
	f.Add("Members", countsLine(o.Members))
	f.Addf("GUIDs", "%d owned, %d held, %d free; %s", o.Pool.Owned, o.Pool.Held, o.Pool.Free, strings.Join(o.GUIDs, ", "))
	f.Addf("PKeys", "%d partitions; may change %s", o.Partitions, o.PKeys)
	if o.Nodes.Limit > 0 {
		f.Addf("Nodes", "%d with pods, %d over their %d PKeys", o.Nodes.Count, o.Nodes.Over, o.Nodes.Limit)
	}
	f.Addf("Pods", "%d waiting, %d refused", o.Waiting, o.Refused)
	if o.Oldest != nil {
		f.Addf("Oldest", "%s, for %s: %s", o.Oldest.PodName, show.Age(o.Oldest.Since, now), o.Oldest.Why)
	}
	if o.StuckHolds > 0 {
		f.Addf("Held", "%d GUIDs wait for nodes that say nothing: ibfabric guids --state held", o.StuckHolds)
	}
	if o.Journal.Unwritten > 0 {
		f.Addf("Journal", "%d entries are not stored yet", o.Journal.Unwritten)
	}
	if len(o.Notices) > 0 {
		f.Add("To do", strings.Join(o.Notices, "\n"))
	}
	return f.Write(w)
}

func leaderLine(l api.Leader, now time.Time) string {
	line := l.Identity
	if !l.Since.IsZero() {
		line += ", for " + show.Age(l.Since, now)
	}
	switch {
	case l.Blocked != "":
		line += "; does not begin: " + l.Blocked
	case !l.Adopted:
		line += "; is reading ledger, pods and UFM"
	case l.Former != "" && l.Settled.After(now):
		line += fmt.Sprintf("; removes nothing before %s, since %s led before and may have a write under way", show.When(l.Settled, now), l.Former)
	}
	return line
}

func ufmLine(u api.UFM) string {
	line := u.Target
	if u.Address != "" {
		line += ", answered by " + u.Address
	}
	if !u.Shows {
		line += "; cannot be read, and is believed what it answers"
	}
	return line
}

func healthLine(h api.Health, now time.Time) string {
	if h.OK {
		return "ok"
	}
	if h.Since.IsZero() {
		return "failing: " + h.Error
	}
	return fmt.Sprintf("failing for %s: %s", show.Age(h.Since, now), h.Error)
}

func countsLine(c api.Counts) string {
	return fmt.Sprintf("%d of %d in UFM, %d pending, %d leaving, %d held; %d unclaimed, %d foreign", c.Actual, c.Desired, c.Pending, c.Leaving, c.Held, c.Unclaimed, c.Foreign)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

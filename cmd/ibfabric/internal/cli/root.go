// Package cli is the commands of ibfabric, one file each. They ask the console of whoever
// leads, and the cluster; none of them needs UFM's credentials.
package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/reach"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
)

// app is one call of the program.
type app struct {
	Streams
	options  reach.Options
	patience time.Duration
	output   string
	running  bool // the command line was understood
}

// The groups of commands in the help.
const (
	groupSee = "see"
	groupAct = "act"
	groupSet = "set"
)

// Run runs the program that args name, and returns its exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s}
	root := a.root(args[0])
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	if err != nil && !a.running {
		err = usageError(err, root.CommandPath())
	}
	a.complain(err)
	return int(fault.KindOf(err))
}

func usageError(err error, program string) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return err
	}
	return fault.New(fault.Usage, "", err, program+" --help")
}

// complain prints an error and what mends it. What mends is not indented beyond a mark, to
// be copied.
func (a *app) complain(err error) {
	if err == nil || errors.Is(err, fault.ErrFound) || errors.Is(err, context.Canceled) {
		return
	}
	fmt.Fprintf(a.Err, "error: %s\n", show.Clean(err.Error()))
	for _, line := range fault.MendOf(err) {
		if words, isWords := strings.CutPrefix(line, "# "); isWords {
			fmt.Fprintf(a.Err, "  # %s\n", words)
			continue
		}
		fmt.Fprintf(a.Err, "  $ %s\n", line)
	}
}

func (a *app) root(program string) *cobra.Command {
	root := &cobra.Command{
		Use:   "ibfabric",
		Short: "What an InfiniBand fabric gives the pods of a cluster, and what not, and why",
		Long: `ibfabric says which pod has which GUID and which partition, since when, and what is missing.

It reads the kubeconfig as kubectl does, finds the controller that leads the fabric, and asks its
console with your own credentials. It needs none of UFM's.

Exit codes: 0 done; 1 something is to be mended; 2 the command line is wrong; 3 the cluster or the
console does not answer; 4 nobody knows what was asked about; 5 the cluster does not let you; 6 any
other error.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	if strings.HasPrefix(filepath.Base(program), "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl ibfabric"}
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	a.options.Bind(root.PersistentFlags())
	root.PersistentFlags().DurationVar(&a.patience, "wait", 10*time.Second, "how long to wait for somebody who leads")
	root.AddGroup(&cobra.Group{ID: groupSee, Title: "See:"}, &cobra.Group{ID: groupAct, Title: "Act:"}, &cobra.Group{ID: groupSet, Title: "Set up and mend:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupSee, a.status(), a.pods(), a.explain(), a.guids(), a.partitions(), a.nodes(), a.whois(), a.drift(), a.plan(), a.journal(), a.console())
	add(groupAct, a.reclaim(), a.release())
	add(groupSet, a.doctor(), a.migrate(), a.ufm(), a.version())
	a.markRunning(root)
	return root
}

// markRunning has every command say when it begins: what cobra refuses before that is a
// command line that cannot be understood.
func (a *app) markRunning(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		a.markRunning(sub)
	}
}

// ask runs f with a client of the console, and a line of progress.
func (a *app) ask(f func(*client.Client, *show.Progress) error) error {
	cluster, err := a.options.Cluster()
	if err != nil {
		return err
	}
	return a.askIn(cluster, f)
}

func (a *app) askIn(cluster *reach.Cluster, f func(*client.Client, *show.Progress) error) error {
	console := reach.NewConsole(cluster, a.options, a.patience)
	defer console.Close()
	progress := a.progress("asking the console")
	defer progress.Done()
	console.Waits = func(why string) { progress.Say("waiting for somebody who leads: %s", why) }
	refused := func(status int, body []byte) error { return reach.ErrorOf(console.Leader(), status, body) }
	return f(&client.Client{HTTP: console, Refused: refused}, progress)
}

func (a *app) progress(text string) *show.Progress {
	if !a.Watches {
		return show.NewProgress(nil, text)
	}
	return show.NewProgress(a.Err, text)
}

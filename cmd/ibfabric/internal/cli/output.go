package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// The forms of output.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
)

func (a *app) outputFlag(c *cobra.Command) {
	c.Flags().StringVarP(&a.output, "output", "o", asTable, "`form`: table, json or yaml")
	complete(c, "output", asTable, asJSON, asYAML)
	c.PreRunE = func(*cobra.Command, []string) error {
		switch a.output {
		case asTable, asJSON, asYAML:
			return nil
		}
		return fault.New(fault.Usage, fmt.Sprintf("there is no output %q", a.output), nil, "# write table, json or yaml")
	}
}

// complete offers a flag's values to the shell.
func complete[T ~string](c *cobra.Command, flag string, values ...T) {
	var list []string
	for _, v := range values {
		list = append(list, string(v))
	}
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// print writes v for programs, or the table for people.
func (a *app) print(v any, table func(io.Writer) error) error {
	var err error
	switch a.output {
	case asJSON:
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false) // commands have > in them
		err = encoder.Encode(v)
	case asYAML:
		var text []byte
		if text, err = yaml.Marshal(v); err == nil {
			_, err = a.Out.Write(text)
		}
	default:
		err = table(a.Out)
	}
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// listing is a command that shows a list of the console's.
type listing[T any] struct {
	path   string
	what   string // pods
	limit  int    // 0 is all
	header []string
	row    func(T) []string
}

func limitFlag(c *cobra.Command, limit *int) {
	c.Flags().IntVar(limit, "limit", 0, "show no more than this `number` (0: all)")
}

// show asks for a list and prints it.
func (l listing[T]) show(a *app, cmd *cobra.Command, q api.Query) (list api.List[T], err error) {
	err = a.ask(func(c *client.Client, p *show.Progress) error {
		list, err = l.get(cmd, c, p, q)
		return err
	})
	if err != nil {
		return list, err
	}
	return list, a.print(list, func(w io.Writer) error { return l.write(a, w, list) })
}

func (l listing[T]) get(cmd *cobra.Command, c *client.Client, p *show.Progress, q api.Query) (api.List[T], error) {
	list, err := client.All[T](cmd.Context(), c, l.path, q, l.limit, func(n, total int) { p.Say("%d of %d %s", n, total, l.what) })
	if list.Items == nil {
		list.Items = []T{} // "items": [] is what programs can go through
	}
	return list, err
}

func (l listing[T]) write(a *app, w io.Writer, list api.List[T]) error {
	if len(list.Items) == 0 {
		_, err := fmt.Fprintf(a.Err, "no %s\n", l.what)
		return err
	}
	table := show.NewTable(l.header...)
	for _, item := range list.Items {
		table.Row(l.row(item)...)
	}
	if err := table.Write(w); err != nil {
		return err
	}
	if list.Continue != "" {
		total := "more"
		if list.Total >= 0 {
			total = fmt.Sprint(list.Total)
		}
		_, err := fmt.Fprintf(a.Err, "%d of %s %s; --limit 0 shows all\n", len(list.Items), total, l.what)
		return err
	}
	return nil
}

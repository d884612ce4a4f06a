package migrate

import (
	"fmt"
	"io"
	"strings"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/cni/node/doctor"
)

// Write writes the report for people.
func (r Report) Write(w io.Writer, color bool) error {
	t := show.NewTable("FOUND", "WHERE", "SEEN")
	for _, f := range r.Found {
		t.Row(f.What, f.Where, f.Seen)
	}
	if len(r.Found) == 0 {
		_, err := fmt.Fprintln(w, "There is neither ib-kubernetes nor ibfabric in this cluster. docs/install.md installs ibfabric.")
		return err
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if len(r.Settings) > 0 {
		fmt.Fprintln(w)
		t := show.NewTable("SETTING", "HAS", "BECOMES", "NOTE")
		for _, s := range r.Settings {
			t.Row(s.Name, s.Has, s.Becomes, s.Note)
		}
		if err := t.Write(w); err != nil {
			return err
		}
	}
	if len(r.Rows) > 0 {
		rows := make([]Row, len(r.Rows))
		for i, row := range r.Rows {
			rows[i] = Row{State: row.State, Check: row.Check, Seen: show.Clean(row.Seen)} // tenants wrote parts of it
			for _, line := range row.Mend {
				rows[i].Mend = append(rows[i].Mend, show.Clean(line))
			}
		}
		fmt.Fprintf(w, "\n%s", doctor.Table("the move", rows, nil, color))
	}
	_, err := io.WriteString(w, r.steps())
	return err
}

func (r Report) steps() string {
	var b strings.Builder
	for i, s := range r.Steps {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d  %-5s  %-9s  %s\n", i+1, s.State, s.Name, show.Clean(s.What))
		if s.State == StepNext {
			commands(&b, s.Do)
		}
	}
	if r.Done && len(r.Steps) > 0 {
		b.WriteString("The move is done.\n")
	}
	if len(r.Back) > 0 {
		b.WriteString("\nBack, from here:\n")
		commands(&b, r.Back)
	}
	return b.String()
}

func commands(b *strings.Builder, lines []string) {
	for _, line := range lines {
		mark := "$ "
		if strings.HasPrefix(line, "# ") {
			mark = ""
		}
		fmt.Fprintf(b, "     %s%s\n", mark, show.Clean(line))
	}
}

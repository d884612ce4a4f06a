// Package show writes what people read at a terminal: tables, ages, and a line of progress.
package show

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Table is rows under a header, aligned.
type Table struct {
	header []string
	rows   [][]string
}

// NewTable begins a table.
func NewTable(header ...string) *Table { return &Table{header: header} }

// Row adds a row; "" is shown as "-".
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Write writes the table, without its header where there are no rows.
func (t *Table) Write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = Clean(cell); cells[i] == "" {
				cells[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(out, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Fields are names and values, a line each, aligned; a value of "" is left out. Of a value
// of several lines the others stand below the first.
type Fields struct {
	indent string
	list   [][2]string
}

// NewFields begins a list of fields.
func NewFields(indent string) *Fields { return &Fields{indent: indent} }

// Add adds a field.
func (f *Fields) Add(name, value string) {
	if value != "" {
		f.list = append(f.list, [2]string{name, value})
	}
}

// Addf adds a field with a formatted value.
func (f *Fields) Addf(name, format string, args ...any) { f.Add(name, fmt.Sprintf(format, args...)) }

// Write writes the fields.
func (f *Fields) Write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, field := range f.list {
		name := field[0] + ":"
		for line := range strings.Lines(field[1]) {
			if _, err := fmt.Fprintf(out, "%s%s\t%s\n", f.indent, name, Clean(line)); err != nil {
				return err
			}
			name = ""
		}
	}
	return out.Flush()
}

// Clean takes out of a text what would move the cursor or colour the terminal. Much of what
// is shown was written by tenants, or by UFM.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '?'
		}
		return r
	}, strings.TrimRight(text, "\n"))
}

// Age is how long ago something was, as kubectl writes it; "" where it is not known.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(0, now.Sub(t)))
}

// When is a time and how long ago it was.
func When(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	stamp := t.UTC().Format(time.RFC3339)
	if t.After(now) {
		return fmt.Sprintf("%s (in %s)", stamp, duration.HumanDuration(t.Sub(now)))
	}
	return fmt.Sprintf("%s (%s ago)", stamp, Age(t, now))
}

// Some joins the first of a list, and counts the others.
func Some[T fmt.Stringer](list []T, most int) string {
	var parts []string
	for i, v := range list {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		parts = append(parts, v.String())
	}
	return strings.Join(parts, ", ")
}

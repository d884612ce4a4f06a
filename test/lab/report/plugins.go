package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// pluginCell is what became of one story that somebody's plugin was played through. The
// tests of test/lab/cni log it behind cellMark.
type pluginCell struct {
	Plugin  string `json:"plugin"` // whose, and its version
	Kind    string `json:"kind"`   // its CNI type
	Kernel  string `json:"kernel"` // major and minor number
	Story   string `json:"story"`
	Result  string `json:"result"`
	Because string `json:"because,omitempty"`
}

const cellMark = "plugin story: "

func parseCell(words string) (c pluginCell, ok bool) {
	_, text, ok := strings.Cut(words, cellMark)
	return c, ok && json.Unmarshal([]byte(text), &c) == nil
}

// pluginTable has a row a story and kind, and a column a plugin and kernel.
func pluginTable(cells []pluginCell) string {
	type place struct{ row, column string }
	var rows, columns []string
	at := map[place]string{}
	for _, c := range cells {
		row, column := c.Kind+": "+c.Story, c.Plugin+", "+c.Kernel
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		at[place{row, column}] = map[string]string{pass: "yes", fail: "**no**", skip: "-"}[c.Result]
	}
	slices.Sort(columns)
	slices.SortStableFunc(rows, func(a, b string) int {
		return strings.Compare(strings.SplitN(a, ":", 2)[0], strings.SplitN(b, ":", 2)[0])
	})
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", at[place{row, column}])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// The table's place on a page.
const (
	tableBegin = "<!-- begin: make lab PEERS=1 writes this table -->\n"
	tableEnd   = "<!-- end -->\n"
)

func replaceTable(page, table string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		return fmt.Errorf("%s has no place for the table of plugins", page)
	}
	return os.WriteFile(page, []byte(before+tableBegin+table+tableEnd+after), 0o644)
}

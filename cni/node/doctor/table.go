package doctor

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Columns of the table. States stand first, so that a glance down the margin finds what
// is to be mended.
const (
	width  = 100
	indent = len("STATE  CHECK           ")
)

// Table is the report for people, at most 100 columns wide.
func (r Report) Table(color bool) string {
	return Table(strings.TrimSpace(r.Node+" (Linux "+r.Kernel+")"), r.Rows, r.NotHere, color)
}

// Table writes rows for people, at most 100 columns wide: about is whose they are, and
// notHere the checks that there was no occasion for.
func Table(about string, rows []Row, notHere []string, color bool) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%-6s %-15s %s\n", "STATE", "CHECK", "SEEN, and what mends it")
	count := map[State]int{}
	for _, row := range rows {
		count[row.State]++
		lines := wrap(row.Seen, width-indent)
		fmt.Fprintf(&b, "%s %-15s %s\n", paint(row.State, color), row.Check, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
		}
		for _, line := range row.Mend {
			fmt.Fprint(&b, mendLines(line))
		}
	}
	if len(notHere) > 0 {
		for _, line := range wrap("nothing here to check: "+strings.Join(notHere, ", "), width) {
			fmt.Fprintln(&b, line)
		}
	}
	fmt.Fprintf(&b, "%s: %d to mend, %d ok, %d for information\n", about, count[Mend], count[OK], count[Info])
	return b.String()
}

// mendLines wraps words; a command stays in one piece, to be copied.
func mendLines(line string) string {
	words, isWords := strings.CutPrefix(line, "# ")
	if !isWords {
		return fmt.Sprintf("%*s$ %s\n", indent, "", line)
	}
	var b strings.Builder
	for _, part := range wrap(words, width-indent-len("# ")) {
		fmt.Fprintf(&b, "%*s# %s\n", indent, "", part)
	}
	return b.String()
}

func paint(s State, color bool) string {
	padded := fmt.Sprintf("%-6s", s)
	if !color {
		return padded
	}
	code := map[State]string{OK: "32", Mend: "1;31", Info: "36"}[s]
	return "\x1b[" + code + "m" + padded + "\x1b[0m"
}

// wrap breaks at spaces; a word that is longer than a line is cut.
func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		for {
			room := width - utf8.RuneCountInString(*last)
			if *last != "" {
				room--
			}
			if utf8.RuneCountInString(word) <= room {
				break
			}
			if *last == "" { // the word alone is too long
				runes := []rune(word)
				*last, word = string(runes[:width]), string(runes[width:])
			}
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		if *last != "" {
			*last += " "
		}
		*last += word
	}
	return lines
}

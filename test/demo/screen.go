package main

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// screen shows a text that changes.
type screen struct {
	out   io.Writer
	fd    int
	live  bool // a terminal: in place
	last  string
	drawn int // lines on the screen
}

// show replaces what is shown by a table and a line below it.
func (s *screen) show(table []string, foot string) {
	if s.live {
		width, height, err := term.GetSize(s.fd)
		if err != nil || width < 1 || height < 1 { // a terminal that does not know
			width, height = 80, 24
		}
		table, foot = fit(table, foot, width, height)
	}
	text := strings.Join(append(table, foot), "\n")
	if text == s.last {
		return
	}
	s.last = text
	if s.live && s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\r\x1b[J", s.drawn)
	}
	s.drawn = len(table) + 1
	fmt.Fprintln(s.out, text)
}

// fit cuts what a terminal would wrap or scroll away: either would leave old lines behind
// when the next table is drawn over this one.
func fit(table []string, foot string, width, height int) ([]string, string) {
	if room := height - 2; len(table) > room && room > 1 { // the last line and the cursor's
		more := len(table) - room + 1
		table = append(table[:room-1:room-1], fmt.Sprintf("… %d more", more))
	}
	out := make([]string, len(table))
	for i, line := range table {
		out[i] = cut(line, width)
	}
	return out, cut(foot, width)
}

func cut(line string, width int) string {
	line, _, _ = strings.Cut(line, "\n")
	if r := []rune(line); len(r) > width {
		return string(r[:max(0, width-1)]) + "…"
	}
	return line
}

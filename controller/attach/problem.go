package attach

import (
	"fmt"
	"strings"
	"unicode"
)

// Problem says what is wrong with a text that somebody wrote, and what to write
// instead. Its Error is one short printable line, whatever the text was.
type Problem struct {
	Where string // the object or element
	What  string
	Mend  string // what to write instead; empty when What says it
	cause error
}

func (p *Problem) Error() string {
	if p.Mend == "" {
		return p.Where + ": " + p.What
	}
	return p.Where + ": " + p.What + "; " + p.Mend
}

// Unwrap gives the error of the value's own package, if that is what it was.
func (p *Problem) Unwrap() error { return p.cause }

// site is where a text stands; it makes the Problems of that text.
type site string

func (s site) problem(what, mend string) error {
	return &Problem{Where: string(s), What: what, Mend: mend}
}

// wrap makes a Problem of a value's own error, which says the mend itself. No error
// stays none.
func (s site) wrap(field string, err error) error {
	if err == nil {
		return nil
	}
	return &Problem{Where: string(s), What: fmt.Sprintf("%s: %v", field, err), cause: err}
}

// clipLen is how much of a foreign text a message shows, in runes.
const clipLen = 60

// clip makes a foreign text fit for a message: short, and without characters that
// could break a line or hide the text before them.
func clip(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > clipLen {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func quote(s string) string { return `"` + clip(s) + `"` }

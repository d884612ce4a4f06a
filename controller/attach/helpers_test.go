package attach

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// wantProblem wants a Problem that says want.
func wantProblem(t testing.TB, err error, want string) {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant a Problem that says\n%s", err, want)
	}
	wantFit(t, err)
}

// wantFit wants an error that fits into an Event: short, one line, nothing hidden.
func wantFit(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	text := err.Error()
	if len(text) > 800 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("unfit message of %d bytes: %.900q", len(text), text)
	}
}

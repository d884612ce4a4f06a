// Package fault is the errors that people read at a terminal, and what programs see of
// them: the exit code.
package fault

import (
	"context"
	"errors"
)

// Kind is why something could not be done. It is the exit code of the program.
type Kind int

// The kinds, as docs/cli.md lists them. OK is no error.
const (
	OK          Kind = 0
	Found       Kind = 1 // the command worked, and something is to be mended
	Usage       Kind = 2 // the command line says what cannot be done
	Unreachable Kind = 3 // the cluster or the console does not answer, or nobody leads
	NotFound    Kind = 4 // nobody knows what was asked about
	Forbidden   Kind = 5 // the cluster does not let you
	Failed      Kind = 6 // anything else
	Interrupted Kind = 130
)

// Error is a failure that says what to do about it.
type Error struct {
	Kind Kind
	What string   // in words, or "" where Err says it all
	Mend []string // what to type or to look at, line by line
	Err  error    // what went wrong, may be nil
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.What
	case e.What == "":
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error.
func New(kind Kind, what string, err error, mend ...string) *Error {
	return &Error{Kind: kind, What: what, Err: err, Mend: mend}
}

// ErrFound ends a command that worked and found something. There is nothing to print for it.
var ErrFound = errors.New("something is to be mended")

// KindOf is the exit code for an error.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrFound):
		return Found
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.As(err, &e):
		return e.Kind
	}
	return Failed
}

// MendOf is what an error says to do.
func MendOf(err error) []string {
	var e *Error
	if errors.As(err, &e) {
		return e.Mend
	}
	return nil
}

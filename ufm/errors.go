package ufm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// Kind says what came of a call that did not go well.
type Kind int

const (
	// Unavailable: UFM did not do it, and another address or a later time may.
	Unavailable Kind = iota
	// OutcomeUnknown: a change was sent and not answered; UFM may have made it, may be
	// making it now, or may not.
	OutcomeUnknown
	// Unauthorized: UFM refuses who we are (401) or what we may do (403).
	Unauthorized
	// BadRequest: UFM, or this client before it, refuses the request as such. The same
	// request will be refused again.
	BadRequest
	// NotFound: UFM does not know what the URL names.
	NotFound
	// BadAnswer: the status says success and the body is not what UFM says.
	BadAnswer
	// Certificate: the server is not taken for UFM, or UFM does not take our certificate.
	Certificate
)

func (k Kind) String() string {
	switch k {
	case OutcomeUnknown:
		return "outcome unknown"
	case Unauthorized:
		return "unauthorized"
	case BadRequest:
		return "rejected"
	case NotFound:
		return "not found"
	case BadAnswer:
		return "bad answer"
	case Certificate:
		return "certificate refused"
	default:
		return "unavailable"
	}
}

// Error is a call to UFM that did not go well.
type Error struct {
	Kind    Kind
	Op      string // what was being done to what: add 12 guids to pkey 0x1000
	Address string // of the UFM that was asked; "" when none was
	Status  int    // HTTP status; 0 when there was no answer
	Detail  string // from the body of the answer, cut short, without secrets
	Err     error  // what went wrong underneath, if anything did

	write  bool
	mend   string
	before []*Error // what the addresses said that were asked first
}

// Error names what was done, where, what came of it, and what a person can do about it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	e.describe(&b)
	for _, other := range e.before {
		b.WriteString("; before that")
		other.describe(&b)
	}
	return b.String()
}

func (e *Error) describe(b *strings.Builder) {
	if e.Address != "" {
		b.WriteString(" at " + e.Address)
	}
	b.WriteString(": " + e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(b, " (%d %s)", e.Status, http.StatusText(e.Status))
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.mend != "" {
		b.WriteString("; " + e.mend)
	}
}

func (e *Error) Unwrap() error { return e.Err }

// Rejected reports whether the request itself is at fault, so that a part of it may be
// taken when the whole was not: 4xx other than 401, 403, 404, 408 and 429.
func (e *Error) Rejected() bool { return e.Kind == BadRequest }

// OutcomeUnknown reports whether a change may have been made all the same. A success that
// is not UFM's (a login page) counts: who knows what stood behind it.
func (e *Error) OutcomeUnknown() bool {
	return e.Kind == OutcomeUnknown || e.Kind == BadAnswer && e.write
}

// elsewhere reports whether the next address may be asked the same.
func (e *Error) elsewhere() bool {
	return e.Kind == Unavailable || e.Kind == Certificate || e.Kind == BadAnswer && !e.write
}

func reject(op string, err error) *Error { return &Error{Kind: BadRequest, Op: op, Err: err} }

func isKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// kindOfStatus says what an HTTP status other than success means.
//
// Of a change, these say that it was surely not made: 401, 403 and 404 (nobody got as far
// as the partition), 408 (the request did not arrive whole), 429 and 503 (somebody refused
// to begin; Apache says 503 when it cannot reach the UFM behind it), 3xx (go elsewhere),
// and other 4xx (UFM looked at it and said no). Any other status can come from a proxy
// that gave up on a UFM still at work (500, 502, 504), or from one that will do it later
// (202): the outcome is unknown.
func kindOfStatus(status int, write bool) Kind {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Unauthorized
	case status == http.StatusNotFound:
		return NotFound
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Unavailable
	case status >= 300 && status < 400:
		return Unavailable
	case status >= 400 && status < 500:
		return BadRequest
	case write:
		return OutcomeUnknown
	case status >= 500:
		return Unavailable
	default:
		return BadAnswer
	}
}

func mendStatus(status int, settings string) string {
	switch {
	case status == http.StatusUnauthorized:
		return "check " + settings
	case status == http.StatusForbidden:
		return "give the user of " + settings + " a role in UFM that may change partitions"
	case status >= 300 && status < 400:
		return "UFM sends us elsewhere: check UFM_HTTP_SCHEMA, UFM_PORT and UFM_ADDRESS"
	}
	return ""
}

const (
	// detailLimit is how much of UFM's words, in characters, goes into an error.
	detailLimit = 200
	// detailSearch is how much of an answer, in bytes, is looked through for them.
	detailSearch = 64 << 10
)

// detail makes a line for people of the body of an answer: no secrets, no tags, no control
// characters, not too long.
func detail(body []byte, s *session) string {
	text := s.redact(string(body[:min(len(body), detailSearch)]))
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = untag(text)
	}
	var b strings.Builder
	n, blank := 0, true
	for _, r := range text {
		if n == detailLimit {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = ' '
		}
		if r == ' ' && blank {
			continue
		}
		blank = r == ' '
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// untag keeps the words of a web page.
func untag(page string) string {
	var b strings.Builder
	inTag := false
	for _, r := range page {
		switch {
		case r == '<':
			inTag = true
			b.WriteByte(' ')
		case r == '>':
			inTag = false
		case !inTag:
			b.WriteRune(r)
		}
	}
	return b.String()
}

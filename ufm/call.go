package ufm

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// call is one thing asked of UFM.
type call struct {
	op     string
	method string
	path   string // behind the prefix, query included
	body   []byte
	at     string             // ask this address only; "" is any
	read   func([]byte) error // takes the body of a 200 in; not for writes
	secret bool               // the body must not be quoted
}

func (r call) isWrite() bool { return r.method != http.MethodGet }

// do asks the address that last answered, then each of the others, once. It goes on to the
// next one only when the one before did surely not do it; a read may always be repeated.
// It returns the address that answered.
func (c *Client) do(ctx context.Context, r call) (string, error) {
	var before []*Error
	start := int(c.current.Load())
	for i := range c.endpoints {
		e := c.endpoints[(start+i)%len(c.endpoints)]
		if r.at != "" && r.at != e.name {
			continue
		}
		failed := c.try(ctx, e, r)
		if failed == nil {
			c.current.Store(int64(e.index))
			return e.name, nil
		}
		if !failed.elsewhere() {
			switch {
			case !failed.OutcomeUnknown(): // an answer, if not a welcome one
				c.current.Store(int64(e.index))
			case failed.Status == 0: // none: the next call begins with somebody else
				c.current.Store(int64((e.index + 1) % len(c.endpoints)))
			}
			failed.before = before
			return e.name, failed
		}
		before = append(before, failed)
		if ctx.Err() != nil {
			break
		}
	}
	if len(before) == 0 {
		return "", &Error{Op: r.op, Address: r.at, Err: errors.New("no such address")}
	}
	last := before[len(before)-1]
	last.before = before[:len(before)-1]
	return last.Address, last
}

// try asks one address, a second time when it refuses the credentials and there are newer
// ones: a refused request was not carried out, whatever it was.
func (c *Client) try(ctx context.Context, e endpoint, r call) *Error {
	s := c.keys.get()
	failed := c.once(ctx, s, e, r)
	if failed == nil || failed.Status != http.StatusUnauthorized {
		return failed
	}
	if fresh, changed := c.keys.after(s); changed {
		return c.once(ctx, fresh, e, r)
	}
	return failed
}

// once makes one request, with its own deadline.
func (c *Client) once(ctx context.Context, s *session, e endpoint, r call) *Error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := time.Now()
	failed := c.exchange(ctx, s, e, r)
	fields := []zap.Field{zap.String("op", r.op), zap.String("address", e.name), zap.Duration("took", time.Since(began))}
	if failed == nil {
		c.log.Debug("ufm answered", fields...)
		return nil
	}
	failed.Op, failed.Address, failed.write = r.op, e.name, r.isWrite()
	c.log.Debug("ufm call went wrong", append(fields, zap.Int("status", failed.Status), zap.Error(failed))...)
	return failed
}

func (c *Client) exchange(ctx context.Context, s *session, e endpoint, r call) *Error {
	sent := &sentFlag{write: r.isWrite()}
	req, err := newRequest(sent.trace(ctx), s, e, r)
	if err != nil {
		return &Error{Kind: BadRequest, Err: err}
	}
	resp, err := s.clients[e.index].Do(req)
	if err != nil {
		return transportError(err, sent, s, e)
	}
	body, err := c.readBody(resp)
	return c.judge(resp.StatusCode, body, err, s, r)
}

// judge says what an answer means.
func (c *Client) judge(status int, body []byte, broken error, s *session, r call) *Error {
	failed := &Error{Status: status, Err: broken}
	switch {
	case r.isWrite() && (status == http.StatusOK || status == http.StatusCreated || status == http.StatusNoContent):
		// What UFM says behind its 200 is written down nowhere, so that anything goes but
		// a web page: that is the log-in page of something before UFM.
		switch {
		case broken != nil && !errors.Is(broken, errTooLarge):
			failed.Kind = OutcomeUnknown
		case bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
			failed.Kind, failed.mend = BadAnswer, notUFM
		default:
			return nil
		}
	case status != http.StatusOK:
		failed.Kind = kindOfStatus(status, r.isWrite())
		failed.mend, failed.Err = mendStatus(status, s.settings), nil
	case errors.Is(broken, errTooLarge):
		failed.Kind = BadAnswer
		return failed
	case broken != nil:
		failed.Kind = Unavailable
		return failed
	default:
		if failed.Err = r.read(body); failed.Err == nil {
			return nil
		}
		failed.Kind, failed.mend = BadAnswer, notUFM
	}
	if !r.secret {
		failed.Detail = detail(body, s)
	}
	return failed
}

const notUFM = "is this a UFM, and the active one of its pair?"

var errTooLarge = errors.New("the answer is too large")

func (c *Client) readBody(resp *http.Response) (body []byte, err error) {
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, c.maxAnswer+1))
	if err == nil && int64(len(body)) > c.maxAnswer {
		return body[:c.maxAnswer], fmt.Errorf("%w: more than %d bytes", errTooLarge, c.maxAnswer)
	}
	return body, err
}

// sentFlag knows whether a request can have reached UFM.
//
// It is set when the request gets a connection, which is before its first byte is written
// and behind the dialling and the TLS handshake. "Written" would be no safer a mark: a
// cancelled call returns while its bytes are still on their way to the socket. When the
// transport begins anew by itself, it knows that nothing was written (it does so only then,
// and for reads), and the flag begins anew too.
type sentFlag struct {
	write bool
	maybe atomic.Bool
}

type sentKey struct{}

func (f *sentFlag) trace(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, sentKey{}, f)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { f.maybe.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { f.maybe.Store(true) },
	})
}

// transportError says what it means that there was no answer. A change that can have
// reached UFM has an unknown outcome: a timeout, a cancelled context, a connection that
// broke. One that found no connection was surely not made.
func transportError(err error, sent *sentFlag, s *session, e endpoint) *Error {
	failed := &Error{Kind: Unavailable, Err: err}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		failed.Err = u.Err // the URL of a removal is up to 4 KiB of GUIDs
	}
	var refused *tls.CertificateVerificationError
	var alert *net.OpError
	switch {
	case sent.write && sent.maybe.Load():
		failed.Kind = OutcomeUnknown
	case errors.As(err, &refused):
		failed.Kind, failed.mend = Certificate, mendCertificate(refused, e.host, s.creds.Certificate != "")
	case errors.As(err, &alert) && alert.Op == "remote error": // a TLS alert: UFM hung up on us
		failed.Kind, failed.mend = Certificate, "UFM does not take our side of TLS: check "+envClientCert+" and "+envClientKey
	}
	return failed
}

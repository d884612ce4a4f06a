package reach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// lookAgain is the time between two looks for a leader.
const lookAgain = 500 * time.Millisecond

// mostError is how much of an error's body is read.
const mostError = 64 << 10

// Console is the console of whoever leads: a http.RoundTripper that finds the leader, and
// finds it again when it changes. Whoever asks writes URLs with any host. It is safe for
// concurrent use.
type Console struct {
	// Find says who leads and Open goes there.
	Find func(context.Context) (Leader, error)
	Open func(context.Context, Leader) (*Way, error)
	// Patience is how long a request waits for somebody who leads.
	Patience time.Duration
	// Waits, if set, is told why a request waits.
	Waits func(why string)
	After func(time.Duration) <-chan time.Time // nil: time.After

	mu     sync.Mutex // protects what follows; not held while anything is asked
	way    *Way
	leader Leader
}

// NewConsole is the console of the fabric that o says.
func NewConsole(c *Cluster, o Options, patience time.Duration) *Console {
	return &Console{
		Find: func(ctx context.Context) (Leader, error) {
			if o.Address != "" && o.CAFile != "" && o.ServerName != "" {
				return Leader{Fabric: o.Fabric, Namespace: o.Namespace, Identity: o.Address}, nil // nothing is left to ask
			}
			return c.Leader(ctx, o.Fabric, o.Namespace)
		},
		Open:     func(ctx context.Context, l Leader) (*Way, error) { return c.Open(ctx, l, o) },
		Patience: patience,
	}
}

// RoundTrip implements http.RoundTripper. What changes something is sent a second time only
// where it was answered that nothing was done.
func (c *Console) RoundTrip(r *http.Request) (*http.Response, error) {
	giveUp := c.after(c.Patience)
	for {
		resp, err := c.try(r)
		why := reason(resp, err)
		if why == "" || !repeatable(r, err) {
			return resp, err
		}
		c.tell(why)
		select {
		case <-r.Context().Done():
			return resp, errors.Join(err, r.Context().Err())
		case <-giveUp:
			return resp, err
		case <-c.after(lookAgain):
		}
		if resp != nil {
			_ = resp.Body.Close() // it is in memory
		}
	}
}

// try asks whoever is thought to lead, and forgets them when it is not so.
func (c *Console) try(r *http.Request) (*http.Response, error) {
	way, leader, err := c.current(r.Context())
	if err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = "https", way.Host, ""
	if r.GetBody != nil {
		if out.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	resp, err := way.Transport.RoundTrip(out)
	if err != nil {
		c.forget(way)
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return nil, &sendError{NoLeader(leader, fmt.Errorf("its last leader, %s, does not answer: %w", leader.Identity, err))}
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		c.forget(way)
		return resp, keepBody(resp)
	}
	return resp, nil
}

// sendError is an error of a request that may have arrived.
type sendError struct{ error }

func (e *sendError) Unwrap() error { return e.error }

// reason says why to look for a leader again, "" for no reason.
func reason(resp *http.Response, err error) string {
	switch {
	case err != nil && fault.KindOf(err) == fault.Unreachable:
		return err.Error()
	case err == nil && resp.StatusCode == http.StatusServiceUnavailable:
		return "the console of another replica answered"
	}
	return ""
}

// repeatable reports whether to ask again does no harm.
func repeatable(r *http.Request, err error) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	var sent *sendError
	return r.GetBody != nil && !errors.As(err, &sent)
}

// keepBody reads a small body, so that the connection it came by can be closed.
func keepBody(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostError))
	_ = resp.Body.Close() // it has been read
	if err != nil {
		return fmt.Errorf("read the console's answer: %w", err)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return nil
}

// current is the way to the leader, which is found if it is not known.
func (c *Console) current(ctx context.Context) (*Way, Leader, error) {
	c.mu.Lock()
	way, leader := c.way, c.leader
	c.mu.Unlock()
	if way != nil {
		return way, leader, nil
	}
	leader, err := c.Find(ctx)
	if err != nil {
		return nil, leader, err
	}
	if way, err = c.Open(ctx, leader); err != nil {
		return nil, leader, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.way != nil { // somebody else found it meanwhile
		way.Close()
		return c.way, c.leader, nil
	}
	c.way, c.leader = way, leader
	return way, leader, nil
}

func (c *Console) forget(way *Way) {
	c.mu.Lock()
	mine := c.way == way
	if mine {
		c.way = nil
	}
	c.mu.Unlock()
	if mine {
		way.Close()
	}
}

// Leader is who answered last.
func (c *Console) Leader() Leader {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader
}

// Close ends the way.
func (c *Console) Close() {
	c.mu.Lock()
	way := c.way
	c.way = nil
	c.mu.Unlock()
	if way != nil {
		way.Close()
	}
}

func (c *Console) tell(why string) {
	if c.Waits != nil {
		c.Waits(why)
	}
}

func (c *Console) after(d time.Duration) <-chan time.Time {
	if c.After != nil {
		return c.After(d)
	}
	return time.After(d)
}

// ErrorOf reads an answer that is none of what was asked for.
func ErrorOf(l Leader, status int, body []byte) error {
	e := &api.Error{}
	if json.Unmarshal(body, e) != nil || e.Message == "" {
		e = &api.Error{Message: fmt.Sprintf("the console answered with status %d", status)}
	}
	e.Code = status
	switch status {
	case http.StatusBadRequest:
		return fault.New(fault.Usage, "", e)
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "", e)
	case http.StatusUnauthorized:
		return fault.New(fault.Forbidden, "", e, "kubectl auth whoami     # the console takes a bearer token of the cluster, or a client certificate that its CA signed")
	case http.StatusForbidden:
		return fault.New(fault.Forbidden, "", e, permission(e.Permission)...)
	case http.StatusServiceUnavailable:
		return NoLeader(l, e)
	}
	return fault.New(fault.Failed, "", e, fmt.Sprintf("kubectl -n %s logs deployment/ibfabric-controller", l.Namespace))
}

// permission is how an administrator grants what is missing.
func permission(p *api.Permission) []string {
	if p == nil {
		return nil
	}
	name, path := "ibfabric-view", api.Prefix+"/*"
	if p.Verb != "get" {
		name, path = "ibfabric-"+p.Verb, p.Path
	}
	return []string{
		"# an administrator lets you:",
		fmt.Sprintf("kubectl create clusterrole %s --verb=%s --non-resource-url='%s'", name, p.Verb, path),
		fmt.Sprintf("kubectl create clusterrolebinding %s-me --clusterrole=%s --user='%s'", name, name, strings.ReplaceAll(p.User, "'", `'\''`)),
	}
}

package ufm

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// hangUp breaks the connection behind a request that was read whole.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestWhatComesOfAStatus(t *testing.T) {
	type fate struct {
		Kind              Kind
		Rejected, Unknown bool
	}
	for name, tc := range map[string]struct {
		handler     http.HandlerFunc
		read, write fate
		says        string
	}{
		"302": {answer(302, ""), fate{Kind: Unavailable}, fate{Kind: Unavailable}, "UFM_HTTP_SCHEMA"},
		"400": {answer(400, `bad guid`), fate{BadRequest, true, false}, fate{BadRequest, true, false}, "bad guid"},
		"401": {answer(401, ``), fate{Kind: Unauthorized}, fate{Kind: Unauthorized}, "check UFM_USERNAME and UFM_PASSWORD"},
		"403": {answer(403, ``), fate{Kind: Unauthorized}, fate{Kind: Unauthorized}, "role"},
		"404": {answer(404, `no page`), fate{Kind: NotFound}, fate{Kind: NotFound}, "not found"},
		"408": {answer(408, ``), fate{Kind: Unavailable}, fate{Kind: Unavailable}, "unavailable"},
		"413": {answer(413, ``), fate{BadRequest, true, false}, fate{BadRequest, true, false}, "rejected"},
		"429": {answer(429, ``), fate{Kind: Unavailable}, fate{Kind: Unavailable}, "unavailable"},
		"503": {answer(503, `starting`), fate{Kind: Unavailable}, fate{Kind: Unavailable}, "starting"},
		"500": {answer(500, ``), fate{Kind: Unavailable}, fate{OutcomeUnknown, false, true}, "500"},
		"502": {answer(502, ``), fate{Kind: Unavailable}, fate{OutcomeUnknown, false, true}, "502"},
		"504": {answer(504, ``), fate{Kind: Unavailable}, fate{OutcomeUnknown, false, true}, "504"},
		"202": {answer(202, ``), fate{Kind: BadAnswer}, fate{OutcomeUnknown, false, true}, "202"},

		"log-in page":       {answer(200, `<html><title>Log in`), fate{Kind: BadAnswer}, fate{BadAnswer, false, true}, "Log in"},
		"broken connection": {hangUp, fate{Kind: Unavailable}, fate{OutcomeUnknown, false, true}, "EOF"},
		"404 about a guid":  {answer(404, `GUID 2 unknown`), fate{Kind: NotFound}, fate{BadRequest, true, false}, "GUID 2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, config(newFake(t, tc.handler).address()))
			look := func(err error) (f fate) {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%v is no *Error", err)
				}
				if !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), c.Address()) {
					t.Errorf("error does not say %q at %s: %v", tc.says, c.Address(), err)
				}
				return fate{e.Kind, e.Rejected(), e.OutcomeUnknown()}
			}
			_, err := c.Version(t.Context())
			if diff := cmp.Diff(tc.read, look(err)); diff != "" {
				t.Errorf("read: %v (-want +got):\n%s", err, diff)
			}
			from, err := c.Add(t.Context(), tenant, batch(g1))
			if diff := cmp.Diff(tc.write, look(err)); diff != "" || from != "" {
				t.Errorf("write: from %q, %v (-want +got):\n%s", from, err, diff)
			}
		})
	}
}

func TestErrorSaysWhatWasDoneToWhatAndTheMend(t *testing.T) {
	f := newFake(t, answer(401, "<html><head><title>401</title></head>\n\t<p>who are you?</p></html>"))
	c := newClient(t, config(f.address()))
	_, err := c.Add(t.Context(), tenant, batch(g1, g2))
	want := "add 2 guids to pkey 0x1000 at " + f.address() + ": unauthorized (401 Unauthorized): 401 who are you?; check UFM_USERNAME and UFM_PASSWORD"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestWriteThatNeverLeftIsNotUnknown(t *testing.T) {
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // hangs up on every TLS handshake
		defer close(done)
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = garbage.Close(); <-done })
	for name, tc := range map[string]struct{ address, scheme string }{
		"nobody listens":     {deadAddress(t), "http"},
		"handshake breaks":   {garbage.Addr().String(), "https"},
		"no TLS on the port": {newFake(t, nil).address(), "https"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(tc.address)
			cfg.Scheme = tc.scheme
			c := newClient(t, cfg)
			_, err := c.Add(t.Context(), tenant, batch(g1))
			var e *Error
			if !errors.As(err, &e) || e.Kind != Unavailable || e.OutcomeUnknown() {
				t.Errorf("got %v", err)
			}
		})
	}
}

// stuck is a UFM that takes a request in and does not answer.
func stuck(t *testing.T) (f *fakeUFM, arrived chan struct{}) {
	arrived, release := make(chan struct{}, 16), make(chan struct{})
	f = newFake(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	t.Cleanup(func() { close(release) }) // before the server closes
	return f, arrived
}

func TestUnansweredWriteIsUnknownAndStaysWhereItWas(t *testing.T) {
	f, arrived := stuck(t)
	other := newFake(t, nil)
	for name, run := range map[string]func(*Client) error{
		"cancelled once it arrived": func(c *Client) error {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-arrived; cancel() }()
			_, err := c.Remove(ctx, tenant, []guid.GUID{g1})
			return err
		},
		"timed out": func(c *Client) error {
			c.timeout = time.Second // long enough for a busy machine to connect: else nothing has left
			_, err := c.Add(t.Context(), tenant, batch(g1))
			<-arrived
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, config(f.address(), other.address()))
			err := run(c)
			var e *Error
			if !errors.As(err, &e) || !e.OutcomeUnknown() || e.Rejected() || e.Address != f.address() {
				t.Errorf("got %v", err)
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the reason is lost: %v", err)
			}
		})
	}
	if asked := other.asked(); len(asked) != 0 {
		t.Errorf("the write was sent to another address too: %v", asked)
	}
}

func TestUnansweredWriteIsSentOnce(t *testing.T) {
	f := newFake(t, hangUp)
	c := newClient(t, config(f.address()))
	_, _ = c.Add(t.Context(), tenant, batch(g1))
	if asked := f.asked(); len(asked) != 1 {
		t.Errorf("asked %v", asked)
	}
}

func TestWhatMustNotBeSentIsRejected(t *testing.T) {
	f := newFake(t, nil)
	c := newClient(t, config(f.address()))
	var errs []error
	for _, p := range []pkey.PKey{0, pkey.Default, 0x8001} {
		_, add := c.Add(t.Context(), p, batch(g1))
		_, remove := c.Remove(t.Context(), p, []guid.GUID{g1})
		errs = append(errs, add, remove)
	}
	_, zero := c.Add(t.Context(), tenant, batch(g1, 0))
	errs = append(errs, zero, c.SetQoS(t.Context(), tenant, pkey.QoS{MTULimit: 3, RateLimit: 100}))
	for i, err := range errs {
		var e *Error
		if !errors.As(err, &e) || !e.Rejected() {
			t.Errorf("%d: %v", i, err)
		}
	}
	if asked := f.asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestAnswerThatIsTooLarge(t *testing.T) {
	c := newClient(t, config(newFake(t, answer(200, `{"x":"`+strings.Repeat("y", 4096)+`"}`)).address()))
	c.maxAnswer = 1024
	if _, err := c.Partitions(t.Context()); !isKind(err, BadAnswer) || !errors.Is(err, errTooLarge) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Add(t.Context(), tenant, batch(g1)); err != nil {
		t.Errorf("a change that UFM answered with 200: %v", err)
	}
}

func TestDetailIsShortAndPrintable(t *testing.T) {
	f := newFake(t, answer(400, "a\x00b\x1b[31m\n\n"+strings.Repeat("long ", 1000)))
	_, err := newClient(t, config(f.address())).Version(t.Context())
	var e *Error
	if !errors.As(err, &e) || len([]rune(e.Detail)) > detailLimit+1 || strings.ContainsAny(e.Detail, "\x00\x1b\n") {
		t.Errorf("%q", e.Detail)
	}
}

package ufmsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Transport reaches the Sim without a network: for an http.Client inside a
// testing/synctest bubble, where waiting on a real connection would stop the clock.
// There is no TLS in it; everything else, cut connections too, is as over a port.
func (s *Sim) Transport() http.RoundTripper { return transport{s} }

type transport struct{ sim *Sim }

// RoundTrip runs the handler on its own: like UFM, it goes on when the client has gone.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in, err := received(r)
	if err != nil {
		return nil, err
	}
	done := make(chan *recorder, 1)
	if !t.sim.start(func() { done <- record(t.sim, in) }) {
		return nil, fmt.Errorf("%s: the sim is closed", in.Host)
	}
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case w := <-done:
		return w.response(r)
	}
}

// received is the request as a server would see it. The body is taken over at once: the
// client may close it as soon as it gave up.
func received(r *http.Request) (*http.Request, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "in-process", r.URL.Host
	in.Body = http.NoBody
	if r.Body == nil {
		return in, nil
	}
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	in.Body = io.NopCloser(bytes.NewReader(body))
	return in, nil
}

// recorder is the answer of a handler. (httptest has one too, and a command-line flag
// that would come with it into every program.)
type recorder struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	flushed bool
	cut     bool // the connection was
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Flush()                      { w.flushed = true }

// record runs a handler and catches the panic that means a cut connection, no other.
func record(h http.Handler, r *http.Request) (w *recorder) {
	w = &recorder{header: http.Header{}, status: http.StatusOK}
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			w.cut = true
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return w
}

func (w *recorder) response(r *http.Request) (*http.Response, error) {
	if w.cut && !w.flushed {
		return nil, io.ErrUnexpectedEOF
	}
	var body io.Reader = &w.body
	if w.cut {
		body = io.MultiReader(body, brokenBody{})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

// brokenBody is where a connection was cut.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Package console is the window of the controller: a JSON API for programs, the pages for
// people that are put into it, and metrics, all by HTTPS and for those only whom
// Kubernetes knows and lets in.
//
// It reads what the controller has in memory and asks UFM for nothing. Only the replica
// that leads has the answers; another one says who does.
package console

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

// PagesPrefix is where the pages for people begin.
const PagesPrefix = "/ibfabric/console/"

// Pages makes the pages for people. They are served under PagesPrefix, which they see in
// full, behind the same checks as the API and with the same headers (no script and no
// style but from the same server).
type Pages func(*Answers) http.Handler

// Config is what a Server is told.
type Config struct {
	Listener    net.Listener
	Certificate Certificate
	Gatekeeper  *Gatekeeper
	Answers     *Answers
	Pages       Pages        // nil: the API alone
	Metrics     http.Handler // nil: none
}

// Server serves the console. It is a runnable of every replica.
type Server struct {
	cfg   Config
	watch *watch
	slots chan struct{} // of requests that are being answered
}

// The bounds of what callers can make the server do.
const (
	maxAnswers    = 4 // at a time: the controller's own work comes first
	maxBody       = 1 << 20
	maxHeader     = 64 << 10
	headerWithin  = 10 * time.Second
	answerWithin  = 2 * time.Minute // a reclaim waits for UFM
	idleFor       = 2 * time.Minute
	shutdownGrace = time.Second
)

// New makes a Server.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, watch: newWatch(cfg.Answers.now), slots: make(chan struct{}, maxAnswers)}
}

// NeedLeaderElection says that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	go func() { _ = s.cfg.Gatekeeper.Start(ctx) }() // it ends with ctx, and fails never
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerWithin, ReadTimeout: answerWithin, WriteTimeout: answerWithin, IdleTimeout: idleFor,
		MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.cfg.Certificate.Get, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}},
		ErrorLog:  stdlog.New(io.Discard, "", 0), // of clients who hang up or do not trust us
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // what is left was cut off with ctx
		}
	})
	defer stop()
	if err := server.ServeTLS(s.cfg.Listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the console: %w", err)
	}
	return nil
}

// Handler is all that is served, behind the checks.
func (s *Server) Handler() http.Handler {
	return withHeaders(s.cfg.Gatekeeper.guard(s.routes()))
}

// withHeaders keeps browsers from doing more with an answer than showing it.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// routes are all that is served, without the checks.
func (s *Server) routes() http.Handler {
	a, mux := s.cfg.Answers, http.NewServeMux()
	get := func(path string, answer func(*http.Request, api.Query) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			q, err := api.ParseQuery(r.URL.Query())
			if err != nil {
				fail(w, badRequest("%v", err))
				return
			}
			v, err := s.inSlot(r, func() (any, error) { return answer(r, q) })
			reply(w, v, err)
		})
	}
	get(api.PathOverview, func(*http.Request, api.Query) (any, error) { return a.Overview() })
	get(api.PathPartitions, func(_ *http.Request, q api.Query) (any, error) { return a.Partitions(q) })
	get(api.PathPartition, withPKey(func(p pkey.PKey, _ api.Query) (any, error) { return a.Partition(p) }))
	get(api.PathMembers, withPKey(func(p pkey.PKey, q api.Query) (any, error) { return a.Members(p, q) }))
	get(api.PathPods, func(_ *http.Request, q api.Query) (any, error) { return a.Pods(q) })
	get(api.PathPod, func(r *http.Request, _ api.Query) (any, error) {
		return a.Pod(r.Context(), types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")})
	})
	get(api.PathGUIDs, func(_ *http.Request, q api.Query) (any, error) { return a.GUIDs(q) })
	get(api.PathWhois, func(_ *http.Request, q api.Query) (any, error) { return a.Whois(q) })
	get(api.PathSearch, func(_ *http.Request, q api.Query) (any, error) { return a.Search(q) })
	get(api.PathNodes, func(_ *http.Request, q api.Query) (any, error) { return a.Nodes(q) })
	get(api.PathDrift, func(_ *http.Request, q api.Query) (any, error) { return a.Drift(q) })
	get(api.PathPlan, func(_ *http.Request, q api.Query) (any, error) { return a.Plan(q) })
	get(api.PathJournal, func(_ *http.Request, q api.Query) (any, error) { return a.Journal(q) })
	mux.HandleFunc("GET "+api.PathWatch, s.serveWatch)
	mux.Handle("POST "+api.PathReclaim, verb(a.Reclaim))
	mux.Handle("POST "+api.PathRelease, verb(a.Release))
	if s.cfg.Metrics != nil {
		mux.Handle("GET "+api.PathMetrics, s.cfg.Metrics)
	}
	if s.cfg.Pages != nil {
		mux.Handle("GET "+PagesPrefix, s.cfg.Pages(a))
		mux.Handle("GET /{$}", http.RedirectHandler(PagesPrefix, http.StatusFound))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, notFound("there is no %s %s; the API begins at %s", r.Method, r.URL.Path, api.PathOverview))
	})
	return mux
}

func withPKey(answer func(pkey.PKey, api.Query) (any, error)) func(*http.Request, api.Query) (any, error) {
	return func(r *http.Request, q api.Query) (any, error) {
		p, ok := pkeyIn(r.PathValue("pkey"))
		if !ok {
			return nil, badRequest("%.20q is no PKey: write it as 0x1000", r.PathValue("pkey"))
		}
		return answer(p, q)
	}
}

// inSlot answers so many at a time, and the others wait. Who reads slowly waits for nobody:
// what is answered is sent outside.
func (s *Server) inSlot(r *http.Request, answer func() (any, error)) (any, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
		return answer()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// verb serves something that changes what there is. Pages have none: what a browser sends
// on behalf of whatever page it shows is refused.
func verb[Request, Answer any](do func(context.Context, Request, string) (Answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			fail(w, &api.Error{Code: http.StatusForbidden, Message: "this is not for browsers: use the command ibfabric"})
			return
		}
		var request Request
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		body.DisallowUnknownFields()
		if err := body.Decode(&request); err != nil {
			fail(w, badRequest("the request cannot be read: %v", err))
			return
		}
		answer, err := do(r.Context(), request, userOf(r))
		reply(w, answer, err)
	})
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who hung up needs no error
}

func fail(w http.ResponseWriter, err error) {
	e := &api.Error{}
	if !errors.As(err, &e) {
		e = &api.Error{Code: http.StatusInternalServerError, Message: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	if e.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(e.Code)
	_ = json.NewEncoder(w).Encode(e)
}

// Package console is the window of the controller: a JSON API for programs, the pages for
// people that are put into it, and metrics, all by HTTPS and for those only whom
// Kubernetes knows and lets in.
//
// It reads what the controller has in memory and asks UFM for nothing. Only the replica
// that leads has the answers; another one says who does.
package console

import (
	"encoding/json"
	"net/http"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// PagesPrefix is where the pages for people begin.
const PagesPrefix = "/ibfabric/console/"

// Pages makes the pages for people. They are served under PagesPrefix, which they see in
// full, behind the same checks as the API and with the same headers (no script and no
// style but from the same server).
type Pages func(*Answers) http.Handler

// Server serves the console.
type Server struct {
	answers *Answers
	pages   http.Handler
}

// New makes a Server. Without pages there is the API alone.
func New(answers *Answers, pages Pages) *Server {
	s := &Server{answers: answers}
	if pages != nil {
		s.pages = pages(answers)
	}
	return s
}

// routes are all that is served, without the checks.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.PathOverview, func(w http.ResponseWriter, r *http.Request) {
		v, err := s.answers.Overview()
		reply(w, v, err)
	})
	if s.pages != nil {
		mux.Handle("GET "+PagesPrefix, s.pages)
		mux.Handle("GET /{$}", http.RedirectHandler(PagesPrefix, http.StatusFound))
	}
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		v = err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v)
}

package clusterfake

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// Console is the console of one replica. It answers with what it was told to.
type Console struct {
	server *httptest.Server

	mu       sync.Mutex // protects what follows
	answers  map[string]any
	lists    map[string][]any
	refusal  *api.Error // of everything
	Requests []Request  // that came in, in order
}

// Request is what was asked.
type Request struct {
	Method, Path, Query, Body string
	Header                    http.Header
}

// NewConsole starts one that leads.
func NewConsole(t testing.TB) *Console {
	c := &Console{answers: map[string]any{}, lists: map[string][]any{}}
	c.server = httptest.NewTLSServer(known(http.HandlerFunc(c.serve)))
	t.Cleanup(c.server.Close)
	return c
}

// Address is host:port of it, and CA is who signed its certificate, which is for example.com.
func (c *Console) Address() string { return c.server.Listener.Addr().String() }

// CA is a PEM.
func (c *Console) CA() []byte { return pemOf(c.server.Certificate()) }

// Stop ends it.
func (c *Console) Stop() { c.server.Close() }

// Answer sets the answer to a path. Of a function it is what the function makes of the
// request's body.
func (c *Console) Answer(path string, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[path] = v
}

// List sets the items of a path, which are given out page by page.
func List[T any](c *Console, path string, items ...T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists[path] = nil
	for _, item := range items {
		c.lists[path] = append(c.lists[path], item)
	}
}

// Refuse has everything answered with an error; nil ends that.
func (c *Console) Refuse(e *api.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = e
}

// Asked are the requests so far.
func (c *Console) Asked() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Requests)
}

func (c *Console) serve(w http.ResponseWriter, r *http.Request) {
	var body strings.Builder
	_, _ = copyBounded(&body, r) // a short body is what the test sees
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Requests = append(c.Requests, Request{r.Method, r.URL.Path, r.URL.RawQuery, body.String(), r.Header.Clone()})
	if c.refusal != nil {
		w.WriteHeader(c.refusal.Code)
		write(w, c.refusal)
		return
	}
	if items, ok := c.lists[r.URL.Path]; ok {
		write(w, page(items, r))
		return
	}
	switch v := c.answers[r.URL.Path].(type) {
	case nil:
		w.WriteHeader(http.StatusNotFound)
		write(w, api.Error{Code: http.StatusNotFound, Message: "there is no " + r.URL.Path})
	case func(body string) any:
		write(w, v(body.String()))
	case string:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(v)) // as above
	default:
		write(w, v)
	}
}

// page cuts a page out as the console does; the continue token is where it begins.
func page(items []any, r *http.Request) any {
	from, _ := strconv.Atoi(r.URL.Query().Get(api.QueryContinue))
	limit, err := strconv.Atoi(r.URL.Query().Get(api.QueryLimit))
	if err != nil {
		limit = api.DefaultLimit
	}
	limit = min(limit, api.MaxLimit)
	to := min(from+limit, len(items))
	l := api.List[any]{Items: items[from:to], Total: len(items)}
	if to < len(items) {
		l.Continue = strconv.Itoa(to)
	}
	return l
}

func copyBounded(to *strings.Builder, r *http.Request) (int64, error) {
	var v json.RawMessage
	if r.Body == nil || r.Method == http.MethodGet {
		return 0, nil
	}
	err := json.NewDecoder(r.Body).Decode(&v)
	n, _ := to.Write(v)
	return int64(n), err
}

package pages

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

//go:embed templates/*.html
var templateFiles embed.FS

// fragmentHeader asks for the main part of a page alone. The script sends it.
const fragmentHeader = "Ibfabric-Fragment"

// policy lets a page have its own script, style, picture and server, and nothing else:
// what a tenant could write into a name stays text even where a template were wrong.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// page is what a template gets.
type page struct {
	look   string // the template's name
	Title  string
	Nav    string      // the path of the navigation's entry, below Prefix
	Topics []api.Topic // what makes this page stale
	Data   any

	// What render adds.
	Now    time.Time
	Prefix string
	Watch  string
	Query  string // what was searched for
}

// look is one page's template, with everything that it uses.
type look = template.Template

// parseLooks parses each page's template over a copy of the common ones.
func parseLooks(a assets) map[string]*look {
	common := template.Must(template.New("").Funcs(funcs(a)).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	looks := map[string]*look{}
	for _, name := range []string{
		"overview", "partitions", "partition", "pods", "pod", "guids", "guid",
		"nodes", "node", "drift", "plan", "journal", "search", "error",
	} {
		looks[name] = template.Must(template.Must(common.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return looks
}

// goTo is an error that says the answer is another page.
type goTo string

func (g goTo) Error() string { return "see " + string(g) }

// serve is the handler of a page.
func (p *Pages) serve(show func(*http.Request) (page, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		view, err := show(r)
		var elsewhere goTo
		if errors.As(err, &elsewhere) {
			http.Redirect(w, r, string(elsewhere), http.StatusSeeOther)
			return
		}
		code := http.StatusOK
		if err != nil {
			view, code = problem(err)
		}
		p.render(w, r, view, code)
	})
}

// problem is the page of an error.
func problem(err error) (page, int) {
	var known *api.Error
	if !errors.As(err, &known) || known.Code < 400 || known.Code > 599 {
		// Whatever it is, it was not made to be shown to people.
		known = &api.Error{Code: http.StatusInternalServerError, Message: "the controller could not answer; its log says more"}
	}
	title := http.StatusText(known.Code)
	switch known.Code {
	case http.StatusServiceUnavailable:
		title = "The fabric is not known here"
	case http.StatusNotFound:
		title = "Not known here"
	case http.StatusBadRequest:
		title = "That cannot be read"
	}
	return page{look: "error", Title: title, Data: known}, known.Code
}

// render writes a page, or its main part alone. It is made whole first, so that a template
// that fails leaves no half page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, view page, code int) {
	view.Now, view.Prefix, view.Watch = p.now().UTC(), Prefix, api.PathWatch
	view.Query = r.URL.Query().Get(api.QueryText)
	part := "page"
	if r.Header.Get(fragmentHeader) != "" {
		part = "main"
	}
	var body bytes.Buffer
	if err := p.looks[view.look].ExecuteTemplate(&body, part, view); err != nil {
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // whoever asked has gone
}

// entry is one of the navigation.
type entry struct{ Path, Word string }

// Entries are the navigation.
func (page) Entries() []entry {
	return []entry{
		{"", "Overview"}, {"partitions", "Partitions"}, {"pods", "Pods"}, {"guids", "GUIDs"},
		{"nodes", "Nodes"}, {"drift", "Drift"}, {"plan", "Due changes"}, {"journal", "Journal"},
	}
}

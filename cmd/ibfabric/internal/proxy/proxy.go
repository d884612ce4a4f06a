// Package proxy lets a browser on this machine see the console, with the credentials of
// the user who started it.
//
// Whoever can speak with it acts as that user. It listens on 127.0.0.1 alone, it forwards
// nothing that changes anything, and it lets in only who has seen the address with its
// secret: not other users of the machine, and not the pages of other sites in the same
// browser, which reach 127.0.0.1 as well, under its address or under a name of theirs that
// points to it.
package proxy

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/ibfabric/ibfabric/controller/console"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// enterPath takes the secret in and gives a cookie for it, so that it stands in no link, no
// history of pages, and no Referer.
const enterPath = "/enter"

// Proxy is one proxy. Make it with New.
type Proxy struct {
	address string // host:port that browsers see
	secret  string
	cookie  string
	forward http.Handler
}

// New makes a proxy that is reached at an address of 127.0.0.1. to knows the console and
// has the user's credentials.
func New(address string, to http.RoundTripper) (*Proxy, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p := &Proxy{address: address, secret: rand.Text(), cookie: "ibfabric-console-" + port}
	p.forward = &httputil.ReverseProxy{
		Transport: to,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: "console"}) // the transport puts the leader in
			for _, name := range []string{"Cookie", "Authorization", "Origin", "Referer", "Forwarded", "X-Forwarded-For"} {
				r.Out.Header.Del(name) // what the browser says of itself is none of the console's
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie") // ports of one host share cookies
			r.Header.Del("Strict-Transport-Security")
			return nil
		},
		FlushInterval: -1, // what changes is streamed
		ErrorHandler:  answerError,
		ErrorLog:      log.New(discard{}, "", 0),
	}
	return p, nil
}

// discard swallows the library's log: a page that was closed is no news.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// URL is what to open. It has the secret in it.
func (p *Proxy) URL() string { return "http://" + p.address + enterPath + "?key=" + p.secret }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch why, status := p.refuse(r); {
	case why != "":
		fail(w, status, why)
	case r.URL.Path == enterPath:
		p.enter(w, r)
	case !p.known(r):
		fail(w, http.StatusUnauthorized, "open the address that ibfabric console printed: it has a key in it")
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// refuse says why a request is nobody's who sits at this machine's browser, in one of our
// own pages.
func (p *Proxy) refuse(r *http.Request) (why string, status int) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "this proxy only shows; to change something use ibfabric reclaim and ibfabric release", http.StatusMethodNotAllowed
	}
	// A page of another site that gave itself a name for 127.0.0.1 comes with that name.
	if r.Host != p.address {
		return "this proxy is reached as " + p.address + " alone", http.StatusMisdirectedRequest
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+p.address {
		return "pages of other sites get nothing here", http.StatusForbidden
	}
	// Browsers say whose page asks. A click on a link elsewhere is a navigation, and shows
	// the pages to who clicked, and not to where the link was; it may enter, too.
	site, mode := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Mode")
	ours := site == "" || site == "same-origin" || site == "none"
	if !ours && (mode != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document") {
		return "pages of other sites get nothing here", http.StatusForbidden
	}
	return "", 0
}

func (p *Proxy) enter(w http.ResponseWriter, r *http.Request) {
	if !same(r.URL.Query().Get("key"), p.secret) {
		fail(w, http.StatusUnauthorized, "this is not the key of the ibfabric console that runs now: open the address that it printed")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: p.cookie, Value: p.secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, console.PagesPrefix, http.StatusSeeOther)
}

func (p *Proxy) known(r *http.Request) bool {
	c, err := r.Cookie(p.cookie)
	return err == nil && same(c.Value, p.secret)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func fail(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Error{Code: status, Message: why}) // the browser may have gone
}

// answerError says in the browser why the console is not there.
func answerError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && !errors.Is(err, http.ErrAbortHandler) {
		return // nobody waits any more
	}
	fail(w, http.StatusBadGateway, strings.ToValidUTF8(err.Error(), "?"))
}

package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// upstream is a console that answers everything, and keeps what it was asked.
type upstream struct{ asked []*http.Request }

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.asked = append(u.asked, r)
	h := http.Header{"Set-Cookie": {"other=1"}, "Content-Type": {"text/html"}}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader("the console")), Request: r}, nil
}

const address = "127.0.0.1:40000"

// TestWhoIsLetIn is every way that a page of another site, or another user of the machine,
// could come.
func TestWhoIsLetIn(t *testing.T) {
	u := &upstream{}
	p, err := New(address, u)
	if err != nil {
		t.Fatal(err)
	}
	cookie := p.cookie + "=" + p.secret
	for name, test := range map[string]struct {
		method, path, host string
		header             map[string]string
		code               int
	}{
		"ours":                  {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": cookie}, 200},
		"ours, by a link":       {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		"ours, by a script":     {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Origin": "http://" + address}, 200},
		"typed":                 {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "none"}, 200},
		"no key":                {"GET", "/ibfabric/console/", address, nil, 401},
		"another key":           {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": p.cookie + "=x"}, 401},
		"another's proxy":       {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": "ibfabric-console-1=" + p.secret}, 401},
		"enter":                 {"GET", "/enter?key=" + p.secret, address, map[string]string{"Sec-Fetch-Site": "none"}, 303},
		"enter, wrong":          {"GET", "/enter?key=x", address, nil, 401},
		"enter, none":           {"GET", "/enter", address, nil, 401},
		"another name for it":   {"GET", "/ibfabric/console/", "evil.test:40000", map[string]string{"Cookie": cookie}, 421},
		"localhost":             {"GET", "/ibfabric/console/", "localhost:40000", map[string]string{"Cookie": cookie}, 421},
		"another name, enter":   {"GET", "/enter?key=" + p.secret, "evil.test:40000", nil, 421},
		"another origin":        {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Origin": "https://evil.test"}, 403},
		"origin null":           {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Origin": "null"}, 403},
		"another port's origin": {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Origin": "http://127.0.0.1:1"}, 403},
		"cross-site image":      {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		"same-site script":      {"GET", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, 403},
		"cross-site frame":      {"GET", "/ibfabric/console/", address, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		"post":                  {"POST", "/ibfabric/v1/reclaim", address, map[string]string{"Cookie": cookie, "Origin": "http://" + address}, 405},
		"delete":                {"DELETE", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie}, 405},
		"options":               {"OPTIONS", "/ibfabric/v1/overview", address, map[string]string{"Cookie": cookie}, 405},
	} {
		t.Run(name, func(t *testing.T) {
			u.asked = nil
			r := httptest.NewRequest(test.method, "http://"+test.host+test.path, nil)
			for k, v := range test.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			if w.Code != test.code {
				t.Errorf("status %d, want %d: %s", w.Code, test.code, w.Body)
			}
			if reached := len(u.asked) > 0; reached != (test.code == 200) {
				t.Errorf("the console was asked: %t", reached)
			}
			if test.code >= 400 && strings.Contains(w.Body.String(), p.secret) {
				t.Error("the key is in a refusal")
			}
		})
	}
}

// TestWhatPasses looks at what goes to the console and what comes back.
func TestWhatPasses(t *testing.T) {
	u := &upstream{}
	p, err := New(address, u)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://"+address+"/ibfabric/v1/pods?state=waiting", nil)
	r.Header.Set("Cookie", p.cookie+"="+p.secret)
	r.Header.Set("Authorization", "Bearer of-the-browser")
	r.Header.Set("Referer", "http://"+address+"/")
	r.Header.Set("Accept", "text/event-stream")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	got := u.asked[0]
	if got.URL.Path != "/ibfabric/v1/pods" || got.URL.RawQuery != "state=waiting" || got.Header.Get("Accept") != "text/event-stream" {
		t.Errorf("asked %s with %v", got.URL, got.Header)
	}
	for _, name := range []string{"Cookie", "Authorization", "Referer", "X-Forwarded-For"} {
		if got.Header.Get(name) != "" {
			t.Errorf("%s reaches the console", name)
		}
	}
	if w.Body.String() != "the console" || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%q with %v", w.Body, w.Header())
	}
}

// TestEnterKeepsTheKeyOutOfPages looks at the cookie.
func TestEnterKeepsTheKeyOutOfPages(t *testing.T) {
	p, err := New(address, &upstream{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", p.URL(), nil))
	c := w.Result().Cookies()
	if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Value != p.secret {
		t.Errorf("cookies %v", c)
	}
	if to := w.Header().Get("Location"); to != "/ibfabric/console/" {
		t.Errorf("it sends to %q", to)
	}
}

package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

// all are the pages of the story, one of each kind and form.
var all = []string{
	"", "partitions", "partitions/0x1000", "partitions/0x1000?kind=unclaimed", "partitions/0x20?limit=2", "pods", "pods?state=waiting",
	"pods?namespace=team-b", "pods/team-a/train-0", "pods/team-b/infer-2", "pods/team-c/probe", "guids", "guids?state=held",
	"guids/02:00:00:00:00:00:00:00", "guids/0200000000000f11", "nodes", "nodes/gpu-004", "nodes/gpu-017", "drift", "plan",
	"journal", "journal?pkey=0x1000", "journal?pod=team-a/train-0", "search", "search?q=t", "search?q=nobody",
}

func get(t testing.TB, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, pages.Prefix+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newStory() (*memory.Story, *pages.Pages) {
	s := memory.Tell()
	return s, pages.New(s, s.Clock.Now)
}

// each walks all elements of a document.
func each(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func parse(t testing.TB, w *httptest.ResponseRecorder) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestPages: each is there, under a policy that lets nothing else in, and kept by nobody.
func TestPages(t *testing.T) {
	_, h := newStory()
	for _, path := range all {
		w := get(t, h, path)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
			continue
		}
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		csp := w.Header().Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, rule) {
				t.Errorf("%s: policy %q lacks %s", path, csp, rule)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
}

// TestFragment: what the script asks for is the very main part of the page.
func TestFragment(t *testing.T) {
	_, h := newStory()
	for _, path := range all {
		whole, part := get(t, h, path).Body.String(), get(t, h, path, "Ibfabric-Fragment", "main").Body.String()
		if !strings.HasPrefix(part, "<main ") || !strings.HasSuffix(part, "</main>") || !strings.Contains(whole, part) {
			t.Errorf("%s: the fragment is not the page's main part:\n%.300s", path, part)
		}
	}
}

// TestErrors: an error is a page that says what to do.
func TestErrors(t *testing.T) {
	s, h := newStory()
	check := func(path string, code int, texts ...string) {
		t.Helper()
		w := get(t, h, path)
		if w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
		for _, text := range texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s lacks %q:\n%s", path, text, w.Body)
			}
		}
	}
	check("pods/nobody/here", http.StatusNotFound, "nobody/here is not known")
	check("partitions/0x3000", http.StatusNotFound, "0x3000 is not known")
	check("partitions/1000", http.StatusBadRequest, "0x3e8")
	check("guids/xyz", http.StatusBadRequest)
	check("pods?limit=none", http.StatusBadRequest, "write a number")
	check("elsewhere", http.StatusNotFound, "no such page")
	s.Fail(&api.Error{Code: http.StatusServiceUnavailable, Message: "this replica does not lead", Leader: "ibfabric-controller-b"})
	for _, path := range []string{"", "pods", "search?q=t", "nodes/gpu-001"} {
		check(path, http.StatusServiceUnavailable, "ibfabric-controller-b", "ibfabric console")
	}
}

// TestSearch: what can only be one thing leads there.
func TestSearch(t *testing.T) {
	_, h := newStory()
	for q, want := range map[string]string{
		"0200000000000000":   "guids/02:00:00:00:00:00:00:00",
		"0x02000000000000AB": "guids/02:00:00:00:00:00:00:ab",
		"0x1000":             "partitions/0x1000",
		"team-a/train-1":     "pods/team-a/train-1",
		"gpu-003":            "nodes/gpu-003",
		"+gpu-003+":          "nodes/gpu-003",
	} {
		w := get(t, h, "search?q="+q)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != pages.Prefix+want {
			t.Errorf("%s: %d, to %s", q, w.Code, w.Header().Get("Location"))
		}
	}
	if w := get(t, h, "search?q=train"); w.Code != http.StatusOK || strings.Count(w.Body.String(), "team-a/train-") < 3 {
		t.Errorf("train: %d\n%s", w.Code, w.Body)
	}
}

// TestAssets: a browser keeps them as long as they are the same.
func TestAssets(t *testing.T) {
	_, h := newStory()
	seen := 0
	each(parse(t, get(t, h, "")), func(n *html.Node) {
		for _, url := range []string{attr(n, "src"), attr(n, "href")} {
			path, ok := strings.CutPrefix(url, pages.Prefix)
			if !ok || !strings.HasPrefix(path, "assets/") {
				continue
			}
			seen++
			w := get(t, h, path)
			if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "" {
				t.Errorf("%s: %d %v", url, w.Code, w.Header())
			}
			if w := get(t, h, strings.TrimRight(path, "0123456789abcdef")+"0"); w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s of another version may be kept: %v", url, w.Header())
			}
		}
	})
	if seen != 4 {
		t.Errorf("%d assets, want style, script and two uses of the picture", seen)
	}
	if w := get(t, h, "assets/pages.go"); w.Code != http.StatusNotFound {
		t.Errorf("pages.go: %d", w.Code)
	}
}

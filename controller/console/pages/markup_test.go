package pages_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/controller/console/pages"
)

// TestMarkup: what holds of every page whoever looks at it and with whatever.
func TestMarkup(t *testing.T) {
	_, h := newStory()
	for _, path := range all {
		doc := parse(t, get(t, h, path))
		count := map[string]int{}
		var labelled, ids, level []string
		each(doc, func(n *html.Node) {
			count[n.Data]++
			ids = append(ids, attr(n, "id"))
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Val, "javascript:") {
					t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
				}
			}
			switch n.Data {
			case "label":
				labelled = append(labelled, attr(n, "for"))
			case "h1", "h2", "h3":
				level = append(level, n.Data)
			case "table":
				checkTable(t, path, n)
			case "script":
				if attr(n, "src") == "" || n.FirstChild != nil {
					t.Errorf("%s: a script in the page", path)
				}
			case "style":
				t.Errorf("%s: a style in the page", path)
			case "form":
				if attr(n, "method") != "get" {
					t.Errorf("%s: a form that is not GET", path)
				}
			}
			for _, url := range []string{attr(n, "src"), attr(n, "href"), attr(n, "action")} {
				if url != "" && !strings.HasPrefix(url, "#") && !strings.HasPrefix(url, pages.Prefix) {
					t.Errorf("%s leads to %s", path, url)
				}
			}
		})
		each(doc, func(n *html.Node) {
			if n.Data == "input" && attr(n, "type") != "hidden" && !slices.Contains(labelled, attr(n, "id")) {
				t.Errorf("%s: input %s has no label", path, attr(n, "id"))
			}
			for _, name := range []string{"aria-labelledby", "for"} {
				if to := attr(n, name); to != "" && !slices.Contains(ids, to) {
					t.Errorf("%s: %s of nothing: %s", path, name, to)
				}
			}
		})
		if count["h1"] != 1 || count["main"] != 1 || count["header"] != 1 || count["footer"] != 1 || count["nav"] < 1 {
			t.Errorf("%s: %v", path, count)
		}
		if len(level) == 0 || level[0] != "h1" {
			t.Errorf("%s: headings %v", path, level)
		}
	}
}

func checkTable(t *testing.T, path string, table *html.Node) {
	t.Helper()
	captions, heads, cells := 0, 0, 0
	each(table, func(n *html.Node) {
		switch n.Data {
		case "caption":
			captions++
		case "th":
			if heads++; attr(n, "scope") == "" {
				t.Errorf("%s: a head without a scope", path)
			}
		case "td":
			cells++
		}
	})
	if captions != 1 || heads == 0 || cells == 0 {
		t.Errorf("%s: a table with %d captions, %d heads, %d cells", path, captions, heads, cells)
	}
}

// TestHostileNames: what tenants and UFM's users wrote is text in every page.
func TestHostileNames(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}` + "\u202e\x00"
	s, h := newStory()
	p := s.AddPod("team-a", "a<b>", evil, 1, 0x1000)
	s.ChangePod(p, func(p *api.Pod) {
		p.Why, p.Phase, p.Annotation, p.Missing = evil, evil, evil, []string{evil}
		p.Gate.Name, p.Gate.Others = evil, []string{evil}
		p.Attached[0].Network, p.Attached[0].Grant, p.Attached[0].Missing, p.Attached[0].Interface = evil, evil, evil, evil
		p.Attached[0].VF = &api.VF{Node: evil, PCI: evil, RDMA: evil, Interface: evil}
		p.Timeline[0].What, p.Timeline[0].Event = evil, evil
		p.Attached[0].Wanted[0].Partition = evil
	})
	s.ChangePartition(0x1000, func(p *api.Partition) { p.Name, p.Unknown, p.Known, p.QoSError, p.From = evil, evil, false, evil, evil })
	s.AddMember(api.Member{PKey: 0x1000, GUID: 0xe41d2d0300a1b2ff, Kind: api.Foreign, Shown: evil})
	s.AddNode(api.Node{Name: evil})
	s.AddDrift(api.Drift{Kind: evil, PKey: 0x1000, What: evil, Mend: evil})
	s.AddStep(api.Step{Verb: evil, PKey: 0x1000, Why: evil, Waits: evil, Membership: evil, Pods: []api.PodName{{Namespace: evil, Name: evil}}})
	s.Note(api.Entry{Verb: evil, Why: evil, Error: evil, User: evil, Outcome: evil, Membership: evil, Pods: []api.PodName{p.PodName}})
	s.Change(func(o *api.Overview) {
		o.Fabric, o.Policy, o.Version, o.Notices, o.Leader.Identity, o.UFM.Reads.Error = evil, evil, evil, []string{evil}, evil, evil
		o.UFM.Address = "javascript:alert(3)"
	})
	seen := 0
	for _, path := range append([]string{"pods/team-a/a%3Cb%3E", "search?q=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "nodes/%22%3E%3Cscript%3E"}, all...) {
		w := get(t, h, path)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s: %s", path, w.Body)
		}
		seen += strings.Count(w.Body.String(), "&lt;script&gt;")
		each(parse(t, w), func(n *html.Node) {
			if n.Data == "script" && !strings.HasPrefix(attr(n, "src"), pages.Prefix+"assets/") || n.Data == "b" {
				t.Errorf("%s: <%s> came in", path, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, pages.Prefix) && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("%s: <%s %s=%q> came in", path, n.Data, a.Key, a.Val)
				}
			}
		})
	}
	if seen < 30 {
		t.Errorf("the hostile name was shown %d times only: is it still where it was put?", seen)
	}
	if got := get(t, h, "search?q=a"); !strings.Contains(got.Body.String(), fmt.Sprintf("href=%q", pages.Prefix+"pods/team-a/a%3Cb%3E")) {
		t.Errorf("no link to the hostile pod:\n%s", got.Body)
	}
}

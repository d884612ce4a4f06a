package pages_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ibfabric/ibfabric/controller/console/pages"
	"github.com/ibfabric/ibfabric/test/console/memory"
)

const many = 100_000

// BenchmarkPages: each page answers in less than 100 ms with 100,000 members in one
// partition, the longest page among them.
func BenchmarkPages(b *testing.B) {
	s, h := newStory()
	s.Fill(memory.TeamA, many)
	for _, path := range []string{"", "partitions", "partitions/0x1000", "partitions/0x1000?limit=1000", "guids/02:00:00:00:00:00:ff:00", "pods", "journal"} {
		b.Run("/"+path, func(b *testing.B) {
			var size int
			for b.Loop() {
				w := get(b, h, path)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size)/1024, "KiB/page")
		})
	}
}

// TestManyMembers: a page of a hundred thousand members is a page, and leads through them.
func TestManyMembers(t *testing.T) {
	s, h := newStory()
	s.AddPartition(0x3000, "")
	s.Fill(0x3000, many)
	if text := get(t, h, "partitions/0x3000").Body.String(); !strings.Contains(text, "100 of 100,000 members") {
		t.Error("the page does not say how many there are")
	}
	seen := map[string]bool{}
	path := "partitions/0x3000?limit=1000"
	for range 4 {
		w := get(t, h, path)
		if w.Code != http.StatusOK || w.Body.Len() > 300<<10 {
			t.Fatalf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		path = ""
		each(parse(t, w), func(n *html.Node) {
			if key := attr(n, "data-key"); key != "" {
				if seen[key] {
					t.Fatalf("%s comes twice", key)
				}
				seen[key] = true
			}
			if attr(n, "rel") == "next" {
				path = strings.TrimPrefix(attr(n, "href"), pages.Prefix)
			}
		})
	}
	if want := 4 * 250; len(seen) != want {
		t.Errorf("%d members on four pages, want %d", len(seen), want)
	}
}

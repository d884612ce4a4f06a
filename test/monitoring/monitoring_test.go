// Package monitoring holds what deploy/monitoring says to what the controller has: every
// expression is read by Prometheus' own parser, every metric and label in it exists, and
// every alert has its page in the runbook. It is a module of its own, since nothing else
// needs Prometheus.
package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

const root = "../../"

// metric is a row of docs/reference/metrics.md, which a test of the controller keeps as
// the program is.
type metric struct {
	kind   string
	labels map[string][]string // the values that there are; none known: any
}

func metrics(t *testing.T) map[string]metric {
	t.Helper()
	row := regexp.MustCompile("^\\| `(ibfabric_\\w+)` \\| (\\w+) \\| (.*?) \\| ")
	label := regexp.MustCompile("`(\\w+)`(?: \\(([^)]*)\\))?")
	all := map[string]metric{}
	for line := range strings.Lines(read(t, "docs/reference/metrics.md")) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		of := metric{kind: m[2], labels: map[string][]string{}}
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			of.labels[l[1]] = nil
			if l[2] != "" {
				of.labels[l[1]] = strings.Split(l[2], ", ")
			}
		}
		all[m[1]] = of
	}
	if len(all) < 10 {
		t.Fatalf("docs/reference/metrics.md has %d metrics", len(all))
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// check reads an expression and looks up all that it selects.
func check(t *testing.T, where, expr string, known map[string]metric) {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %q: %v", where, expr, err)
		return
	}
	selects := 0
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selects++
		name := v.Name
		of, exists := known[name]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, cut := strings.CutSuffix(name, suffix); cut && known[base].kind == "histogram" {
				of, exists = known[base], true
			}
		}
		if !exists {
			t.Errorf("%s: there is no metric %s", where, name)
			return nil
		}
		for _, m := range v.LabelMatchers {
			checkLabel(t, where, name, of, m)
		}
		return nil
	})
	if selects == 0 {
		t.Errorf("%s: %q selects nothing", where, expr)
	}
}

func checkLabel(t *testing.T, where, name string, of metric, m *labels.Matcher) {
	t.Helper()
	if slices.Contains([]string{"__name__", "job", "le"}, m.Name) {
		return
	}
	values, has := of.labels[m.Name]
	if !has {
		t.Errorf("%s: metric %s has no label %s", where, name, m.Name)
		return
	}
	if m.Name == "event" {
		values = events(t)
	}
	// Each alternative of a regular expression must be a value that there is.
	for part := range strings.SplitSeq(m.Value, "|") {
		if values != nil && !slices.Contains(values, part) {
			t.Errorf("%s: %s{%s=%q}: there is no such value", where, name, m.Name, part)
		}
	}
}

func events(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.?[a-z]*)` \\|").FindAllStringSubmatch(read(t, "docs/reference/logs.md"), -1) {
		names = append(names, m[1])
	}
	return names
}

type rules struct {
	Spec struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				Labels           map[string]string
				Annotations      map[string]string
			}
		}
	}
}

func TestEveryAlertIsReadAndHasItsPage(t *testing.T) {
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, "deploy/monitoring/alerts.yaml")), &r); err != nil {
		t.Fatal(err)
	}
	known, pages := metrics(t), map[string]bool{}
	for _, g := range r.Spec.Groups {
		for _, rule := range g.Rules {
			check(t, rule.Alert, rule.Expr, known)
			page := "docs/runbook/" + rule.Alert + ".md"
			pages[filepath.Base(page)] = true
			if !strings.HasSuffix(rule.Annotations["runbook_url"], "/"+page) || rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s: %v %v", rule.Alert, rule.Annotations, rule.Labels)
			}
			text := read(t, page)
			for _, want := range []string{"# " + rule.Alert, "## Look at", "## Do", "    " + rule.Expr, "Severity " + rule.Labels["severity"]} {
				if !strings.Contains(text, want+"\n") && !strings.Contains(text, want+".") {
					t.Errorf("%s has no %q", page, want)
				}
			}
			if !strings.Contains(read(t, "docs/runbook/README.md"), "("+filepath.Base(page)+")") {
				t.Errorf("docs/runbook/README.md has no %s", rule.Alert)
			}
		}
	}
	files, err := filepath.Glob(root + "docs/runbook/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(err, len(pages))
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "README.md" && !pages[name] {
			t.Errorf("docs/runbook/%s is no alert's", name)
		}
	}
}

func TestEveryPanelOfTheDashboardIsRead(t *testing.T) {
	var d struct {
		Title, UID string
		Panels     []struct {
			Title   string
			GridPos map[string]int
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/monitoring/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	known := metrics(t)
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos["w"] == 0 {
			t.Errorf("panel %+v", p)
		}
		for _, target := range p.Targets {
			check(t, p.Title, strings.ReplaceAll(target.Expr, "$job", ".*"), known)
		}
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 10 {
		t.Errorf("%d panels", len(d.Panels))
	}
}

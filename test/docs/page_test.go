package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// root is the project's folder.
const root = "../.."

// page is one Markdown file.
type page struct {
	path    string // from root
	blocks  []block
	spans   []string // code within a line
	links   []string
	tables  []table
	anchors map[string]bool // of its headings, as GitHub makes them
}

// block is a fenced or indented block of code.
type block struct{ lang, text string }

// table is a table: its first cell, and the code in the first cell of each row below.
type table struct {
	head string
	rows [][]string
}

// pages are those that people follow. What is for developers of the tests is left to them.
func pages(t *testing.T) (all []*page) {
	t.Helper()
	files := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "deploy/examples/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			rel, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, filepath.ToSlash(rel))
		}
	}
	if len(files) < 20 {
		t.Fatalf("only %q", files)
	}
	for _, file := range files {
		all = append(all, readPage(t, file))
	}
	return all
}

func readPage(t *testing.T, path string) *page {
	t.Helper()
	p := parsePage(path, read(t, path))
	return p
}

func parsePage(path, source string) *page {
	p := &page{path: path, anchors: map[string]bool{}}
	src := []byte(source)
	doc := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(src))
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			p.blocks = append(p.blocks, block{string(n.Language(src)), lines(n, src)})
		case *ast.CodeBlock:
			p.blocks = append(p.blocks, block{"", lines(n, src)})
		case *ast.CodeSpan:
			p.spans = append(p.spans, plain(n, src))
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		case *ast.Heading:
			p.anchors[slug(plain(n, src))] = true
		case *extast.Table:
			p.tables = append(p.tables, readTable(n, src))
		}
		return ast.WalkContinue, nil
	})
	return p
}

func lines(n ast.Node, src []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		s := n.Lines().At(i)
		b.Write(s.Value(src))
	}
	return b.String()
}

// plain is the text of a node without its markup.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if leaf, ok := n.(*ast.Text); ok && entering {
			b.Write(leaf.Segment.Value(src))
			if leaf.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func readTable(n *extast.Table, src []byte) (out table) {
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		first := row.FirstChild()
		if first == nil {
			continue
		}
		if _, isHead := row.(*extast.TableHeader); isHead {
			out.head = plain(first, src)
			continue
		}
		var codes []string
		for c := first.FirstChild(); c != nil; c = c.NextSibling() {
			if span, ok := c.(*ast.CodeSpan); ok {
				codes = append(codes, plain(span, src))
			}
		}
		out.rows = append(out.rows, codes)
	}
	return out
}

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestLinksLeadSomewhere(t *testing.T) {
	anchors := map[string]map[string]bool{}
	all := pages(t)
	for _, p := range all {
		anchors[p.path] = p.anchors
	}
	count := 0
	for _, p := range all {
		for _, link := range p.links {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			count++
			path, fragment, _ := strings.Cut(link, "#")
			target := p.path
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(p.path), path))
			}
			info, err := os.Stat(filepath.Join(root, target))
			if err != nil || strings.HasPrefix(target, "..") {
				t.Errorf("%s leads to %s, which is not there", p.path, link)
				continue
			}
			if fragment == "" {
				continue
			}
			if anchors[target] == nil && !info.IsDir() && strings.HasSuffix(target, ".md") {
				anchors[target] = readPage(t, target).anchors
			}
			if !anchors[target][fragment] {
				t.Errorf("%s leads to %s, and there is no such heading", p.path, link)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d links were seen", count)
	}
}

// Each page can be come by from README.md or docs/README.md.
func TestThePagesAreInTheIndex(t *testing.T) {
	linked := map[string]bool{}
	for _, index := range []string{"README.md", "docs/README.md", "docs/runbook/README.md"} {
		for _, link := range readPage(t, index).links {
			path, _, _ := strings.Cut(link, "#")
			linked[filepath.ToSlash(filepath.Join(filepath.Dir(index), path))] = true
		}
	}
	for _, p := range pages(t) {
		if strings.HasPrefix(p.path, "docs/") && !linked[p.path] && p.path != "docs/README.md" {
			t.Errorf("nothing leads to %s: add it to docs/README.md", p.path)
		}
	}
}

// A path in code is one of this repository, if its first part is.
var pathInCode = regexp.MustCompile(`^(deploy|docs|test|cmd|controller|cni|ufm|guid|pkey)/[\w./*-]+$`)

func TestFilesThatAreNamedAreThere(t *testing.T) {
	for _, p := range pages(t) {
		for _, span := range p.spans {
			if !pathInCode.MatchString(span) {
				continue
			}
			if found, err := filepath.Glob(filepath.Join(root, span)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there", p.path, span)
			}
		}
	}
}

// A test by its name: with an ellipsis, by how its name begins.
var testInCode = regexp.MustCompile(`^Test[A-Z]\w*…?$`)

func TestTestsThatAreNamedAreThere(t *testing.T) {
	var names []string
	for _, text := range sources(t, func(path string) bool { return strings.HasSuffix(path, "_test.go") }) {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
	}
	for _, p := range pages(t) {
		for _, span := range p.spans {
			if testInCode.MatchString(span) && !isNamed(names, span) {
				t.Errorf("%s names the test %s, and there is none", p.path, span)
			}
		}
	}
}

func isNamed(names []string, span string) bool {
	begin, some := strings.CutSuffix(span, "…")
	for _, name := range names {
		if name == begin || some && strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// sources are the Go files that wanted says, by their path from root.
func sources(t *testing.T, wanted func(path string) bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range []string{"cmd", "cni", "controller", "deploy", "guid", "pkey", "test", "ufm"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || !wanted(path) {
				return err
			}
			text, err := os.ReadFile(path)
			all[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What a block is of, by its language: a message of ours, one of another program, or a
// piece of a manifest.
const (
	langSays   = "says"
	langTheirs = "theirs"
	langYAML   = "yaml"
)

// TestMessagesAreThoseThatTheProgramsPrint looks for each message in the code: what stands
// between its ellipses must be in one text of it, in that order.
func TestMessagesAreThoseThatTheProgramsPrint(t *testing.T) {
	said := literals(t)
	count := 0
	for _, p := range pages(t) {
		for _, message := range messages(p) {
			count++
			if !isSaid(said, message) {
				t.Errorf("%s quotes %q, which no program says", p.path, message)
			}
		}
	}
	if count < 50 {
		t.Errorf("only %d messages were seen", count)
	}
	if isSaid(said, "the … nodes that it may run on are all on holiday") {
		t.Error("everything is taken for said")
	}
}

// messages are what a page says that our programs say: in blocks of their own, and in the
// first column of tables whose head ends in "says".
func messages(p *page) (all []string) {
	for _, b := range p.blocks {
		if b.lang == langSays {
			all = append(all, strings.Join(strings.Fields(b.text), " "))
		}
	}
	for _, table := range p.tables {
		if !strings.HasSuffix(table.head, "says") {
			continue
		}
		for _, codes := range table.rows {
			all = append(all, codes...)
		}
	}
	return all
}

func isSaid(said []string, message string) bool {
	parts := strings.Split(message, "…")
	for _, text := range said {
		if inOrder(text, parts) {
			return true
		}
	}
	return false
}

func inOrder(text string, parts []string) bool {
	for _, part := range parts {
		// Of "…; is it in another pod" the rest counts, and of "(…)" nothing.
		if part = strings.Trim(part, " ():;[]\""); part == "" {
			continue
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// literals are all texts of our programs, and of the policies that the API server applies.
func literals(t *testing.T) (all []string) {
	t.Helper()
	ours := func(path string) bool {
		return !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, root+"/test/") && !strings.HasPrefix(path, root+"/deploy/")
	}
	for path, text := range sources(t, ours) {
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					all = append(all, s)
				}
			}
			return true
		})
	}
	policies, err := filepath.Glob(filepath.Join(root, "deploy/admission/*.yaml"))
	if err != nil || len(policies) == 0 {
		t.Fatalf("%q, %v", policies, err)
	}
	for _, file := range policies {
		rel, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join(strings.Fields(read(t, rel)), " ")) // folded lines are one
	}
	return all
}

// TestManifestsAreQuotedAsTheyAre: a block of YAML that begins with a path is a piece of that
// file.
func TestManifestsAreQuotedAsTheyAre(t *testing.T) {
	count := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			first, rest, _ := strings.Cut(b.text, "\n")
			path, quotes := strings.CutPrefix(first, "# deploy/")
			if b.lang != langYAML || !quotes {
				continue
			}
			count++
			if !strings.Contains(read(t, "deploy/"+path), rest) {
				t.Errorf("%s quotes of deploy/%s what is not in it:\n%s", p.path, path, rest)
			}
		}
	}
	if count < 3 {
		t.Errorf("only %d quotes were seen", count)
	}
}

// TestTheFieldsOfANetworkAreListed holds docs/configuration.md against what the plugins read.
func TestTheFieldsOfANetworkAreListed(t *testing.T) {
	listed := strings.Join(readPage(t, "docs/configuration.md").spans, "\n")
	for _, path := range []string{"cni/ibsriov/config.go", "cni/sriov/config.go"} {
		fields := inputFields(t, path)
		if len(fields) < 10 {
			t.Errorf("%s has the fields %q", path, fields)
		}
		for _, field := range fields {
			if !strings.Contains("\n"+listed+"\n", "\n"+field+"\n") {
				t.Errorf("docs/configuration.md lacks the field %s of %s", field, path)
			}
		}
	}
}

// inputFields are the JSON names in a plugin's struct input.
func inputFields(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, read(t, path), parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "input" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if name, found := strings.CutPrefix(field.Tag.Value, "`json:\""); found {
				names = append(names, strings.TrimSuffix(name, "\"`"))
			}
		}
		return false
	})
	return names
}

package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// checker knows what commands can say.
type checker struct {
	t         *testing.T
	bin       string
	help      map[string]string // by program and subcommand
	makefile  string
	manifests string
	values    schema
	tests     []string
	literals  map[string]bool
}

// schema is what is needed of a JSON schema.
type schema struct {
	Properties map[string]schema `json:"properties"`
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	c := &checker{t: t, bin: built(t), help: map[string]string{}, makefile: read(t, "Makefile"), literals: map[string]bool{}}
	if err := json.Unmarshal([]byte(read(t, "deploy/chart/ibfabric/values.schema.json")), &c.values); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"manifests", "admission", "console", "crds"} {
		files, err := filepath.Glob(filepath.Join(root, "deploy", folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", folder, files, err)
		}
		for _, file := range files {
			c.manifests += read(t, "deploy/"+folder+"/"+filepath.Base(file)) + "\n"
		}
	}
	for _, text := range sources(t, func(path string) bool { return strings.HasSuffix(path, "_test.go") }) {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`).FindAllStringSubmatch(text, -1) {
			c.tests = append(c.tests, m[1])
		}
	}
	for _, s := range literals(t) {
		c.literals[s] = true
	}
	return c
}

// faults is what is wrong with a command on a page of folder dir.
func (c *checker) faults(dir string, cmd call) (found []string) {
	for _, name := range cmd.sets {
		found = append(found, c.variable(name)...)
	}
	args := cmd.words[1:]
	switch path.Base(cmd.words[0]) {
	case "ibfabric", "kubectl-ibfabric":
		return append(found, c.program("ibfabric", args)...)
	case "ibfabric-cni", "ibfabric-controller", "ufm-sim":
		return append(found, c.program(path.Base(cmd.words[0]), args)...)
	case "kubectl":
		return append(found, c.kubectl(dir, args)...)
	case "helm":
		return append(found, c.helm(args)...)
	case "make":
		return append(found, c.make(args)...)
	case "go":
		return append(found, c.golang(args)...)
	}
	return found
}

// program follows subcommands, and looks for each flag in their help.
func (c *checker) program(name string, args []string) (found []string) {
	sub := []string{}
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		known := commands(c.helpOf(name, sub...))
		if !slices.Contains(known, args[0]) {
			if len(known) > 0 && !isPlaceholder(args[0]) {
				return []string{"no command " + args[0]}
			}
			break
		}
		sub, args = append(sub, args[0]), args[1:]
	}
	help := c.helpOf(name, sub...)
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(flag, "-") && len(flag) > 1 && !hasFlag(help, flag) {
			found = append(found, "no flag "+flag)
		}
	}
	return found
}

func isPlaceholder(word string) bool {
	return strings.Contains(word, "…") || strings.ToUpper(word) == word
}

// hasFlag takes the forms of the flag package, which shows -x for --x, and of cobra.
func hasFlag(help, flag string) bool {
	name := strings.TrimLeft(flag, "-")
	if name == "help" || name == "h" {
		return true
	}
	dashes := "--?"
	if len(name) == 1 {
		dashes = "-"
	}
	return regexp.MustCompile(`(?m)^\s*(-\w, )?` + dashes + regexp.QuoteMeta(name) + `(,|\s|$)`).MatchString(help)
}

// commands are the subcommands that a help lists. Those of ibfabric-cni stand in a sentence.
func commands(help string) (names []string) {
	if _, list, ok := strings.Cut(help, "Its tools for a node are "); ok {
		list, _, _ = strings.Cut(list, ";")
		return strings.FieldsFunc(strings.ReplaceAll(list, " and ", ","), func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`).FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	return names
}

func (c *checker) helpOf(name string, sub ...string) string {
	key := name + " " + strings.Join(sub, " ")
	if text, ok := c.help[key]; ok {
		return text
	}
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, name), append(sub, "--help")...)
	text, err := cmd.CombinedOutput()
	if err != nil || len(text) == 0 {
		c.t.Fatalf("%s --help: %v\n%s", key, err, text)
	}
	c.help[key] = string(text)
	return string(text)
}

// ofKubectl are words of kubectl's whose next one is a name of the reader's choice.
var ofKubectl = []string{"-n", "--namespace", "namespace", "--name", "--serviceaccount", "secret", "generic", "--user", "role", "rolebinding", "clusterrolebinding"}

func (c *checker) kubectl(dir string, args []string) (found []string) {
	if len(args) > 0 && args[0] == "ibfabric" {
		return c.program("ibfabric", args[1:])
	}
	for i, arg := range args {
		switch {
		case arg == "--":
			if inner := args[i+1:]; len(inner) > 0 {
				found = append(found, c.faults(dir, call{words: inner})...)
			}
			return found
		case i > 0 && (args[i-1] == "-f" || args[i-1] == "--filename"):
			found = append(found, c.file(dir, arg)...)
		case i > 0 && slices.Contains(ofKubectl, args[i-1]):
		default:
			found = append(found, c.object(arg)...)
		}
	}
	return found
}

// file is there, seen from the page or from root.
func (c *checker) file(dir, name string) []string {
	if name == "-" || isPlaceholder(name) || strings.Contains(name, "://") {
		return nil
	}
	for _, from := range []string{dir, "."} {
		if _, err := os.Stat(filepath.Join(root, from, name)); err == nil {
			return nil
		}
	}
	return []string{"no file " + name}
}

var ours = regexp.MustCompile(`^(?:\w+/|app\.kubernetes\.io/name=)?((?:zz-)?ibfabric-[a-z-]+|[a-z]+\.ibfabric\.io)$`)

// object is one of the manifests', if its name is of our kind.
func (c *checker) object(word string) []string {
	m := ours.FindStringSubmatch(word)
	if m == nil || regexp.MustCompile(`(?m)[ "]`+regexp.QuoteMeta(m[1])+`(["\]},]|$)`).MatchString(c.manifests) {
		return nil
	}
	return []string{"no manifest has " + m[1]}
}

func (c *checker) helm(args []string) (found []string) {
	chart := slices.IndexFunc(args, func(s string) bool { return strings.HasPrefix(s, "deploy/") })
	if chart < 0 {
		return nil // somebody else's
	}
	if fault := c.file(".", args[chart]); fault != nil {
		return fault
	}
	var sets []string
	for i, arg := range args {
		if i > 0 && (args[i-1] == "--set" || args[i-1] == "--set-string") {
			sets = append(sets, args[i-1][1:], arg)
			for _, pair := range splitValues(arg) {
				found = append(found, c.value(pair)...)
			}
		}
	}
	if found != nil {
		return found
	}
	return c.render(sets)
}

// render has Helm's own engine take the values, and the schema judge them.
func (c *checker) render(sets []string) []string {
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, "ibfabric-chart"), append([]string{"template", "-root", root}, sets...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return []string{"the chart refuses this: " + string(out)}
	}
	return nil
}

// splitValues cuts at commas, but for those within braces and escaped ones.
func splitValues(arg string) (pairs []string) {
	depth, start := 0, 0
	for i, r := range arg {
		switch {
		case r == '{':
			depth++
		case r == '}':
			depth--
		case r == ',' && depth == 0 && arg[i-1] != '\\':
			pairs, start = append(pairs, arg[start:i]), i+1
		}
	}
	return append(pairs, arg[start:])
}

// value looks a path up in the chart's schema. Below an object of free keys anything goes.
func (c *checker) value(pair string) []string {
	name, _, _ := strings.Cut(pair, "=")
	at := c.values
	for step := range strings.SplitSeq(strings.ReplaceAll(name, `\.`, "·"), ".") {
		if len(at.Properties) == 0 {
			return nil
		}
		next, ok := at.Properties[step]
		if !ok {
			return []string{"no value " + name}
		}
		at = next
	}
	return nil
}

func (c *checker) make(args []string) (found []string) {
	for _, arg := range args {
		if name, _, sets := strings.Cut(arg, "="); sets {
			if !regexp.MustCompile(`\$[({]+` + name + `\b`).MatchString(c.makefile) {
				found = append(found, "the Makefile knows no "+name)
			}
			continue
		}
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(arg) + `:`).MatchString(c.makefile) {
			found = append(found, "no target "+arg)
		}
	}
	return found
}

func (c *checker) golang(args []string) (found []string) {
	for i, arg := range args {
		if folder, isFolder := strings.CutPrefix(arg, "./"); isFolder {
			folder = strings.TrimSuffix(folder, "/...")
			if _, err := os.Stat(filepath.Join(root, folder)); err != nil {
				found = append(found, "no folder "+folder)
			}
		}
		if i > 0 && args[i-1] == "-run" && !slices.ContainsFunc(c.tests, regexp.MustCompile(arg).MatchString) {
			found = append(found, "no test "+arg)
		}
	}
	return found
}

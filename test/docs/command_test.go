package docs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

// part is a piece of a block under one mark.
type part struct {
	page *page
	mark string // ①, ②, ③, or "" for commands that a test runs
	text string
	// session is what somebody typed, line by line behind a $, and what they saw.
	session bool
}

var markLine = regexp.MustCompile(`^# ([①②③])`)

// shellPrograms are those that a block of commands may begin with. A block that begins with no
// name of these is no block of commands.
var shellPrograms = strings.Fields(`kubectl helm make go ln cd cp curl openssl skopeo docker scp ssh mst mlxconfig rdma lspci
	ip modprobe echo systemctl git jq sh ls cat ib_write_bw ibfabric ibfabric-cni ibfabric-controller ufm-sim opensm`)

// parts are the commands on a page: its blocks, cut where a mark begins, without those
// that hold something else.
func (p *page) parts() (all []part) {
	for _, b := range p.blocks {
		if b.lang != "" && b.lang != "sh" {
			continue
		}
		mark, text := "", ""
		flush := func() {
			if s, ok := session(text); ok {
				all = append(all, part{p, mark, s, true})
			} else if mark != "" || isCommands(text) {
				if strings.TrimSpace(text) != "" {
					all = append(all, part{page: p, mark: mark, text: text})
				}
			}
			text = ""
		}
		for line := range strings.Lines(b.text) {
			if m := markLine.FindStringSubmatch(line); m != nil {
				flush()
				mark = m[1]
			}
			text += line
		}
		flush()
	}
	return all
}

// session takes what was typed out of a session.
func session(text string) (typed string, is bool) {
	if !strings.HasPrefix(text, "$ ") {
		return "", false
	}
	for line := range strings.Lines(text) {
		if cmd, ok := strings.CutPrefix(line, "$ "); ok {
			typed += cmd
		}
	}
	return typed, true
}

var assignment = regexp.MustCompile(`^[A-Za-z_]+=\S*$`)

func isCommands(text string) bool {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for len(words) > 0 && assignment.MatchString(words[0]) {
			if strings.Contains(words[0], "$(") {
				return true
			}
			words = words[1:]
		}
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		return isProgram(words[0])
	}
	return false
}

func isProgram(word string) bool {
	name := path.Base(word)
	for _, p := range shellPrograms {
		if p == name {
			return true
		}
	}
	return false
}

// call is one command of a part.
type call struct {
	sets  []string // variables that are set for it
	words []string
}

// calls reads a part as a shell does. A word of which the shell would make something has
// an ellipsis in that place.
func calls(text string) (all []call, err error) {
	file, err := syntax.NewParser(syntax.KeepComments(false)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, fmt.Errorf("no shell reads this: %w", err)
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 {
			var out call
			for _, a := range c.Assigns {
				out.sets = append(out.sets, a.Name.Value)
			}
			for _, w := range c.Args {
				out.words = append(out.words, plainWord(w.Parts))
			}
			all = append(all, out)
		}
		return true
	})
	return all, nil
}

func plainWord(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(plainWord(p.Parts))
		default:
			b.WriteString("…")
		}
	}
	return b.String()
}

// A code span that begins with one of our programs, or with one that is told about our
// files, is looked at as a command.
var commandInCode = regexp.MustCompile(`^(bin/)?(ibfabric|ibfabric-cni|ibfabric-controller|ufm-sim|kubectl|helm|make|go) [^:]`)

// Every command is looked at, marked or not.
func TestCommandsAreWhatTheProgramsHave(t *testing.T) {
	c := newChecker(t)
	seen := 0
	for _, p := range pages(t) {
		var texts []string
		for _, part := range p.parts() {
			texts = append(texts, part.text)
		}
		for _, span := range p.spans {
			if commandInCode.MatchString(span) {
				texts = append(texts, span)
			}
		}
		for _, text := range texts {
			all, err := calls(text)
			if err != nil {
				t.Errorf("%s: %v:\n%s", p.path, err, text)
			}
			for _, call := range all {
				seen++
				for _, fault := range c.faults(path.Dir(p.path), call) {
					t.Errorf("%s: %s: %s", p.path, strings.Join(call.words, " "), fault)
				}
			}
		}
		for _, span := range p.spans {
			for _, fault := range c.faultsOfSpan(span) {
				t.Errorf("%s: `%s`: %s", p.path, span, fault)
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d commands were seen", seen)
	}
	t.Run("and mistakes are seen", func(t *testing.T) { sees(t, c) })
}

// sees that each mistake is found, which a page could have.
func sees(t *testing.T, c *checker) {
	for text, want := range map[string]string{
		"ibfabric statsu":                                                     "no command statsu",
		"kubectl ibfabric pods --stat waiting":                                "no flag --stat",
		"kubectl -n x exec ds/ibfabric-node -- /ibfabric-cni docter":          "no command docter",
		"ibfabric-cni install --onyl ib-sriov":                                "no flag --onyl",
		"KUBECONFIG=… bin/ibfabric-controller --instal-crds":                  "no flag --instal-crds",
		"UFM_ADRESS=x bin/ibfabric-controller":                                "nothing reads the variable UFM_ADRESS",
		"bin/ufm-sim --htpp &":                                                "no flag --htpp",
		"make bild":                                                           "no target bild",
		"make chaos SEDE=7":                                                   "the Makefile knows no SEDE",
		"go test ./controller/nowhere":                                        "no folder controller/nowhere",
		"go test ./controller/console -run NoSuchTest":                        "no test NoSuchTest",
		"kubectl apply -f deploy/example":                                     "no file deploy/example",
		"kubectl get ledger.ibfabric.io":                                      "no manifest has ledger.ibfabric.io",
		"kubectl -n x logs deployment/ibfabric-controler":                     "no manifest has ibfabric-controler",
		"helm install ibfabric deploy/chart/ibfabric --set image.tga=1":       "no value image.tga",
		"helm install ibfabric deploy/chart/ibfabric --set a.b=1,image.tag=2": "no value a.b",
		"helm install ibfabric deploy/charts/ibfabric":                        "no file deploy/charts/ibfabric",
		"helm install ibfabric deploy/chart/ibfabric --set syncPolicy=upsert": "the chart refuses this: ",
	} {
		all, err := calls(text)
		if err != nil || len(all) == 0 {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if faults := c.faults(".", all[0]); len(faults) != 1 || !strings.HasPrefix(faults[0], want) {
			t.Errorf("%s: %q, want %q", text, faults, want)
		}
	}
	for span, want := range map[string]string{
		"--sync-polcy=dry-run": "no program has --sync-polcy", "ufm.plugn=noop": "no value ufm.plugn", "UFM_PASSWORT": "nothing reads the variable UFM_PASSWORT",
	} {
		if faults := c.faultsOfSpan(span); len(faults) != 1 || faults[0] != want {
			t.Errorf("%s: %q, want %q", span, faults, want)
		}
	}
}

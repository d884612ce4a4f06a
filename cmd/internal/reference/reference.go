// Package reference keeps the tables of docs/configuration.md as the programs have their
// flags. It is for their tests.
package reference

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file is the page, as seen from the folder of a program.
const file = "../../docs/configuration.md"

// Table has a row for each flag. variable names the environment variable of a flag, "" for
// none.
func Table(fs *flag.FlagSet, variable func(flagName string) string) string {
	var b strings.Builder
	b.WriteString("| flag | variable | default | |\n|---|---|---|---|\n")
	fs.VisitAll(func(f *flag.Flag) {
		value, help := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(name), code(variable(f.Name)), code(defaultOf(f)), strings.ReplaceAll(help, "|", `\|`))
	})
	return b.String()
}

// defaultOf leaves out what the flag package says of flags without one.
func defaultOf(f *flag.Flag) string {
	switch f.DefValue {
	case "false", "0s":
		return ""
	}
	return f.DefValue
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// Keep compares a part of the page, between its two comments, with what it should be. With
// update it writes it there.
func Keep(t *testing.T, part, want string, update bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(text), "<!-- "+part+": ")
	end := strings.Index(string(text), "<!-- end of "+part+" -->")
	if begin < 0 || end < begin {
		t.Fatalf("docs/configuration.md has no comments around the part %s", part)
	}
	begin += strings.Index(string(text)[begin:], "\n") + 1
	if have := string(text)[begin:end]; have != want && !update {
		t.Errorf("docs/configuration.md is not what the program says; run with -update (-page +program):\n%s", cmp.Diff(have, want))
	}
	if !update {
		return
	}
	if err := os.WriteFile(file, []byte(string(text)[:begin]+want+string(text)[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

package record

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheReferenceIsAsTheCatalogue(t *testing.T) {
	const page = "../../docs/reference/logs.md"
	if *update {
		if err := os.WriteFile(page, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), Reference()); diff != "" {
		t.Errorf("docs/reference/logs.md is not what the catalogue says; run with -update (-page +catalogue):\n%s", diff)
	}
}

func TestTheReferenceHasEveryFieldInTheOrderOfALine(t *testing.T) {
	var out bytes.Buffer
	log, _, err := NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	New(log, nil).Log(Summary, everything())
	var inLine, documented []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(out.String(), -1) {
		if !slices.Contains([]string{"time", "level", "event"}, m[1]) {
			inLine = append(inLine, m[1])
		}
	}
	for _, f := range FieldsOfALine() {
		documented = append(documented, f.Name)
	}
	if diff := cmp.Diff(inLine, documented); diff != "" {
		t.Errorf("fields of a line, and of the reference (-line +reference):\n%s", diff)
	}
}

package doctor

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// fits fails on lines that a terminal of 100 columns would break.
func fits(t *testing.T, r Report) {
	t.Helper()
	for line := range strings.Lines(r.Table(false)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTheTableShowsStatesFirst(t *testing.T) {
	r := Report{Node: "node-1", Kernel: "6.8.0", NotHere: []string{"acs"}, Rows: []Row{
		{State: OK, Check: "cards", Seen: strings.Repeat("0000:17:00.0, ", 7) + "0000:18:00.0"},
		{State: Mend, Check: "rdma-mode-boot", Seen: "shared", Mend: []string{"reboot", "# at night"}},
	}}
	want := `STATE  CHECK           SEEN, and what mends it
ok     cards           0000:17:00.0, 0000:17:00.0, 0000:17:00.0, 0000:17:00.0, 0000:17:00.0,
                       0000:17:00.0, 0000:17:00.0, 0000:18:00.0
mend   rdma-mode-boot  shared
                       $ reboot
                       # at night
nothing here to check: acs
node-1 (Linux 6.8.0): 1 to mend, 1 ok, 0 for information
`
	if diff := cmp.Diff(want, r.Table(false)); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(r.Table(false), "\x1b") || !strings.Contains(r.Table(true), "\x1b[1;31mmend  \x1b[0m ") {
		t.Errorf("colour: %q", r.Table(true))
	}
	r.Rows[0].Seen = strings.Repeat("x", 300) + "\n" + "y\tz"
	fits(t, r)
}

// TestThePageListsTheChecks keeps docs/node.md in step with the program.
func TestThePageListsTheChecks(t *testing.T) {
	text, err := os.ReadFile("../../../docs/node.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range Checks() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", c.Name, c.Needs, c.Guide)
	}
	if !strings.Contains(string(text), want.String()) {
		t.Errorf("docs/node.md lacks this table:\n%s", want.String())
	}
}

func TestEachStepOfTheGuidesHostPreparationIsARow(t *testing.T) {
	steps := map[string]bool{}
	for _, c := range Checks() {
		for step := range strings.SplitSeq(c.Guide, ", ") {
			steps[step] = true
		}
	}
	for _, step := range []string{"1", "2", "3a", "3b", "4"} {
		if !steps[step] {
			t.Errorf("no check is about step %s", step)
		}
	}
}

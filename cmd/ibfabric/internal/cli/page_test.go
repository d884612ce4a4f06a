package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/doctor"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestThePageShowsWhatTheCommandsShow keeps docs/cli.md in step with the golden files.
func TestThePageShowsWhatTheCommandsShow(t *testing.T) {
	text := page(t)
	for command, file := range map[string]string{
		"status": "testdata/status.golden", "pods": "testdata/pods.golden", "explain train-0 -n team-a": "testdata/explain.golden",
		"guids": "testdata/guids.golden", "partitions": "testdata/partitions.golden", "partitions 0x1000": "testdata/partition.golden",
		"nodes": "testdata/nodes.golden", "whois 0200000000000007": "testdata/whois.golden", "drift": "testdata/drift.golden",
		"plan": "testdata/plan.golden", "journal": "testdata/journal.golden",
		"doctor --sm-conf smconf.json --sm-conf pkeys.json": "../doctor/testdata/healthy.golden",
		"migrate": "../migrate/testdata/standalone.golden",
	} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "```\n$ ibfabric "+command+"\n"+string(want)+"```\n") {
			t.Errorf("docs/cli.md does not show for %s what %s has:\n%s", command, file, want)
		}
	}
}

// TestThePageHasEveryCommandAndCheck looks for a heading and a row of each.
func TestThePageHasEveryCommandAndCheck(t *testing.T) {
	text := page(t)
	root := (&app{}).root("ibfabric")
	var walk func(c *cobra.Command, name string)
	walk = func(c *cobra.Command, name string) {
		for _, sub := range c.Commands() {
			switch full := strings.TrimSpace(name + " " + sub.Name()); {
			case full == "completion" || full == "help":
			case sub.HasSubCommands():
				walk(sub, full)
			case !strings.Contains(text, "\n## "+full+"\n"):
				t.Errorf("docs/cli.md has no heading %q", full)
			}
		}
	}
	walk(root, "")
	for _, c := range doctor.Checks() {
		if !strings.Contains(text, fmt.Sprintf("| `%s` | %s |\n", c.Name, c.Needs)) {
			t.Errorf("docs/cli.md lacks the check %s: %s", c.Name, c.Needs)
		}
	}
}

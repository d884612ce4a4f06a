package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/clusterfake"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
)

// TestTables holds what people see, and the exit code with it. docs/cli.md shows the same.
func TestTables(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"status", []string{"status"}, 1},
		{"pods", []string{"pods"}, 0},
		{"guids", []string{"guids"}, 0},
		{"partitions", []string{"partitions"}, 0},
		{"partition", []string{"partitions", "0x1000"}, 0},
		{"nodes", []string{"nodes"}, 0},
		{"explain", []string{"explain", "train-0"}, 1},
		{"whois", []string{"whois", "0200000000000007"}, 0},
		{"drift", []string{"drift"}, 1},
		{"plan", []string{"plan"}, 0},
		{"journal", []string{"journal"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			r := f.run(test.args...)
			if r.code != test.code || r.err != "" {
				t.Errorf("exit code %d, want %d; it complained: %s", r.code, test.code, r.err)
			}
			same(t, test.name, r.out)
		})
	}
}

// TestProgramsGetTheAPIsTypes reads -o json and -o yaml back.
func TestProgramsGetTheAPIsTypes(t *testing.T) {
	f := newFake(t)
	var pods api.List[api.PodSummary]
	if r := f.run("pods", "-o", "json"); r.code != 0 || json.Unmarshal([]byte(r.out), &pods) != nil || len(pods.Items) != 2 || pods.Items[1].Name != "train-0" {
		t.Errorf("%+v", r)
	}
	var o api.Overview
	if r := f.run("status", "-o", "yaml"); r.code != 1 || yaml.Unmarshal([]byte(r.out), &o) != nil || o.Fabric != "ib" || o.Pool.Free != 65531 {
		t.Errorf("%+v", r)
	}
	clusterfake.List[api.PodSummary](f.console, api.PathPods)
	if r := f.run("pods", "-o", "json"); !strings.Contains(r.out, `"items": []`) {
		t.Errorf("an empty list: %s", r.out)
	}
	if r := f.run("pods"); r.out != "" || r.err != "no pods\n" || r.code != 0 {
		t.Errorf("an empty table: %+v", r)
	}
}

// TestAllPagesAreRead has more than a page, and less where less is asked for.
func TestAllPagesAreRead(t *testing.T) {
	f := newFake(t)
	var many []api.GUID
	for n := range 2500 {
		many = append(many, api.GUID{GUID: guid.GUID(0x0200000000000000 + n)})
	}
	clusterfake.List(f.console, api.PathGUIDs, many...)
	if r := f.run("guids"); strings.Count(r.out, "\n") != 2501 {
		t.Errorf("%d lines", strings.Count(r.out, "\n"))
	}
	r := f.run("guids", "--limit", "1001")
	if strings.Count(r.out, "\n") != 1002 || !strings.Contains(r.err, "1001 of 2500 GUIDs") {
		t.Errorf("%d lines; %s", strings.Count(r.out, "\n"), r.err)
	}
}

// TestQueriesReachTheConsole looks at what was asked.
func TestQueriesReachTheConsole(t *testing.T) {
	f := newFake(t)
	for _, test := range []struct {
		args  []string
		path  string
		query string
	}{
		{[]string{"pods", "-n", "team-b", "--state", "waiting"}, api.PathPods, "limit=1000&namespace=team-b&state=waiting"},
		{[]string{"pods"}, api.PathPods, "limit=1000"}, // the context's namespace does not narrow it
		{[]string{"guids", "--state", "held"}, api.PathGUIDs, "limit=1000&state=held"},
		{[]string{"partitions", "0x1000", "--kind", "unclaimed"}, "/ibfabric/v1/partitions/0x1000/members", "kind=unclaimed&limit=1000"},
		{[]string{"whois", "0x1000"}, api.PathWhois, "q=0x1000"},
		{[]string{"journal", "--guid", "0200000000000007", "--pkey", "0X20", "--pod", "train-0"}, api.PathJournal, "guid=02%3A00%3A00%3A00%3A00%3A00%3A00%3A07&limit=100&pkey=0x20&pod=team-a%2Ftrain-0"},
		{[]string{"explain", "team-a/train-0"}, "/ibfabric/v1/pods/team-a/train-0", ""},
		{[]string{"explain", "train-0", "-n", "team-a"}, "/ibfabric/v1/pods/team-a/train-0", ""},
	} {
		if r := f.run(test.args...); r.code > 1 {
			t.Errorf("%v: %+v", test.args, r)
			continue
		}
		asked := f.console.Asked()
		if last := asked[len(asked)-1]; last.Path != test.path || last.Query != test.query {
			t.Errorf("%v asked %s?%s, want %s?%s", test.args, last.Path, last.Query, test.path, test.query)
		}
	}
}

// TestNothingMovesTheCursor has texts of tenants that would.
func TestNothingMovesTheCursor(t *testing.T) {
	f := newFake(t)
	clusterfake.List(f.console, api.PathPods, api.PodSummary{PodName: api.PodName{Namespace: "a", Name: "b"}, Why: "\x1b[2Jevil\r\n\u202egnp"})
	f.console.Answer(api.PathWhois, api.Whois{Answer: []string{"\x1b]0;evil\x07"}})
	for _, args := range [][]string{{"pods"}, {"whois", "0x1"}} {
		if r := f.run(args...); strings.ContainsAny(r.out, "\x1b\x07\r\u202e") || !strings.Contains(r.out, "evil") {
			t.Errorf("%q", r.out)
		}
	}
	f.console.Refuse(&api.Error{Code: 500, Message: "\x1b[31mevil"})
	if r := f.run("status"); strings.Contains(r.err, "\x1b") || !strings.Contains(r.err, "evil") || r.code != 6 {
		t.Errorf("%+v", r)
	}
}

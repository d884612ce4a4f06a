package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/clusterfake"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
)

// reclaims lets everything be reclaimed but one GUID, and returns what was asked for.
func reclaims(f *fake, not guid.GUID) func() (dry, real []api.ReclaimRequest) {
	f.console.Answer(api.PathReclaim, func(body string) any {
		var q api.ReclaimRequest
		var a api.ReclaimAnswer
		_ = json.Unmarshal([]byte(body), &q) // an empty request is seen below
		for _, m := range q.Members {
			r := api.ReclaimResult{MemberName: m, Removed: m.GUID != not}
			if !r.Removed {
				r.Error = "a row of the ledger explains it"
			}
			a.Results = append(a.Results, r)
		}
		return a
	})
	return func() (dry, real []api.ReclaimRequest) {
		for _, r := range f.console.Asked() {
			var q api.ReclaimRequest
			if r.Method != "POST" || json.Unmarshal([]byte(r.Body), &q) != nil {
				continue
			}
			if q.DryRun {
				dry = append(dry, q)
			} else {
				real = append(real, q)
			}
		}
		return dry, real
	}
}

func TestReclaimAsksByName(t *testing.T) {
	const one, two = "02:00:00:00:00:00:00:2a", "02:00:00:00:00:00:00:2b"
	for name, test := range map[string]struct {
		args     []string
		types    string
		asks     bool
		code     int
		removes  int
		out, err []string
	}{
		"yes":         {[]string{"reclaim", "0x1000", one}, "yes\n", true, 0, 1, []string{one, "removed"}, []string{"0x1000  " + one, "Remove from UFM what is listed (1)?"}},
		"no":          {[]string{"reclaim", "0x1000", one}, "no\n", true, 6, 0, nil, []string{"nothing was done"}},
		"y":           {[]string{"reclaim", "0x1000", one}, "y\n", true, 6, 0, nil, []string{"nothing was done"}},
		"end of file": {[]string{"reclaim", "0x1000", one}, "", true, 6, 0, nil, []string{"nothing was done"}},
		"nobody":      {[]string{"reclaim", "0x1000", one}, "yes\n", false, 2, 0, nil, []string{"stdin is no terminal", "--yes"}},
		"said before": {[]string{"reclaim", "0x1000", one, "--yes"}, "", false, 0, 1, []string{"removed"}, nil},
		"some":        {[]string{"reclaim", "0x1000", one, two, "--yes"}, "", false, 1, 1, []string{"removed", "left: a row of the ledger explains it"}, nil},
		"none":        {[]string{"reclaim", "0x1000", two, "--yes"}, "", false, 1, 0, []string{"left: a row of the ledger explains it"}, nil},
		"dry run":     {[]string{"reclaim", "0x1000", one, "--dry-run"}, "", false, 0, 0, []string{"would be removed"}, nil},
		"all":         {[]string{"reclaim", "0x1000", "--all", "--yes"}, "", false, 0, 1, []string{one}, nil},
		"neither":     {[]string{"reclaim", "0x1000"}, "", false, 2, 0, nil, []string{"--kind unclaimed"}},
		"both":        {[]string{"reclaim", "0x1000", one, "--all"}, "", false, 2, 0, nil, []string{"--kind unclaimed"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.in, f.asks = test.types, test.asks
			clusterfake.List(f.console, "/ibfabric/v1/partitions/0x1000/members", api.Member{PKey: training, GUID: mustGUID(one), Kind: api.Unclaimed})
			asked := reclaims(f, mustGUID(two))
			r := f.run(test.args...)
			_, real := asked()
			n := 0
			for _, q := range real {
				n += len(q.Members)
			}
			if r.code != test.code || n != test.removes {
				t.Errorf("exit code %d, want %d; %d members were to be removed, want %d\n%s%s", r.code, test.code, n, test.removes, r.out, r.err)
			}
			contains(t, r.out, test.out)
			contains(t, r.err, test.err)
		})
	}
}

func contains(t *testing.T, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

// TestReclaimTakesManyInSeveralRequests has more than one takes.
func TestReclaimTakesManyInSeveralRequests(t *testing.T) {
	f := newFake(t)
	asked := reclaims(f, 0)
	args := []string{"reclaim", "0x1000", "--yes", "-o", "json"}
	for n := range 2100 {
		args = append(args, guid.GUID(0x0200000000000000+n).String())
	}
	r := f.run(args...)
	dry, real := asked()
	var sizes []int
	for _, q := range real {
		sizes = append(sizes, len(q.Members))
	}
	var a api.ReclaimAnswer
	if r.code != 0 || len(dry) != 3 || !slices.Equal(sizes, []int{1000, 1000, 100}) || json.Unmarshal([]byte(r.out), &a) != nil || len(a.Results) != 2100 {
		t.Errorf("exit code %d, %d dry, %v", r.code, len(dry), sizes)
	}
}

func TestReleaseNamesTheNodeAndThePod(t *testing.T) {
	var releases []api.ReleaseRequest
	with := func(t *testing.T) *fake {
		f := newFake(t)
		f.console.Answer(api.PathRelease, func(body string) any {
			var q api.ReleaseRequest
			var a api.ReleaseAnswer
			_ = json.Unmarshal([]byte(body), &q) // an empty one is seen below
			for _, g := range q.GUIDs {
				ok := g == mustGUID("02:00:00:00:00:00:00:2a")
				r := api.ReleaseResult{GUID: g, Released: ok, FreeAt: now()}
				if !ok {
					r.Error = "it is not held"
				}
				a.Results = append(a.Results, r)
			}
			if !q.DryRun {
				releases = append(releases, q)
			}
			return a
		})
		return f
	}
	t.Run("by node", func(t *testing.T) {
		releases = nil
		f := with(t)
		f.in, f.asks = "yes\n", true
		r := f.run("release", "--node", "gpu-17")
		if r.code != 0 || len(releases) != 1 || len(releases[0].GUIDs) != 1 {
			t.Errorf("%+v %v", r, releases)
		}
		contains(t, r.err, []string{"02:00:00:00:00:00:00:2a  last of team-b/infer-3 on node gpu-17, held for 120m", "gone for good"})
		contains(t, r.out, []string{"released"})
		if r := f.run("release", "--node", "gpu-1"); r.code != 4 { // its GUIDs are assigned
			t.Errorf("%+v", r)
		}
		if r := f.run("release", "02:00:00:00:00:00:00:07", "--yes"); r.code != 1 || !strings.Contains(r.out, "left: it is not held") {
			t.Errorf("%+v", r)
		}
		if r := f.run("release"); r.code != 2 {
			t.Errorf("%+v", r)
		}
		if len(releases) != 1 {
			t.Errorf("more was released: %v", releases)
		}
	})
}

package pkey

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/guid"
)

var (
	full0   = Mode{Full, true}
	full    = Mode{Full, false}
	limited = Mode{Limited, false}
)

func inRange(g guid.GUID) bool { return g < 100 }

func TestDiffTruthTable(t *testing.T) {
	for name, tc := range map[string]struct {
		want   Want
		actual []Member
		exp    Changes
	}{
		"member, not shown":           {Want{Members: []Member{{1, full0}}}, nil, Changes{Adds: []Batch{{Mode: full0, GUIDs: []guid.GUID{1}}}}},
		"member, other mode":          {Want{Members: []Member{{1, full0}}}, []Member{{1, limited}}, Changes{Adds: []Batch{{Mode: full0, GUIDs: []guid.GUID{1}}}}},
		"member, shown":               {Want{Members: []Member{{1, full0}}}, []Member{{1, full0}}, Changes{}},
		"leaving, shown":              {Want{Leaving: []guid.GUID{1}}, []Member{{1, full0}}, Changes{Remove: []guid.GUID{1}}},
		"leaving, not shown":          {Want{Leaving: []guid.GUID{1}}, nil, Changes{Gone: []guid.GUID{1}}},
		"no row, our range":           {Want{}, []Member{{1, full0}}, Changes{Unclaimed: []guid.GUID{1}}},
		"no row, out of range":        {Want{}, []Member{{100, full0}, {101, full}}, Changes{Foreign: 2}},
		"member and leaving":          {Want{Members: []Member{{1, full}}, Leaving: []guid.GUID{1}}, []Member{{1, full}}, Changes{}},
		"member out of range is ours": {Want{Members: []Member{{100, full}}}, nil, Changes{Adds: []Batch{{Mode: full, GUIDs: []guid.GUID{100}}}}},
		"one batch a mode": {
			Want{Members: []Member{{4, limited}, {3, full}, {2, full0}, {1, full0}}}, nil,
			Changes{Adds: []Batch{
				{Mode: full0, GUIDs: []guid.GUID{1, 2}},
				{Mode: full, GUIDs: []guid.GUID{3}},
				{Mode: limited, GUIDs: []guid.GUID{4}},
			}},
		},
	} {
		if diff := cmp.Diff(tc.exp, Diff(tc.want, tc.actual, inRange)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDiffConverges applies what Diff says and expects nothing left to do, and nothing
// of anybody else's touched.
func TestDiffConverges(t *testing.T) {
	member := rapid.Custom(func(t *rapid.T) Member {
		return Member{guid.GUID(rapid.Uint64Range(1, 120).Draw(t, "guid")), rapid.SampledFrom([]Mode{full0, full, limited}).Draw(t, "mode")}
	})
	rapid.Check(t, func(t *rapid.T) {
		byGUID := func(m Member) guid.GUID { return m.GUID }
		want := Want{
			Members: rapid.SliceOfNDistinct(member, 0, 30, byGUID).Draw(t, "members"),
			Leaving: rapid.SliceOf(rapid.Custom(func(t *rapid.T) guid.GUID { return member.Draw(t, "m").GUID })).Draw(t, "leaving"),
		}
		fabric := map[guid.GUID]Mode{}
		for _, m := range rapid.SliceOfDistinct(member, byGUID).Draw(t, "actual") {
			fabric[m.GUID] = m.Mode
		}
		ours := map[guid.GUID]bool{}
		for _, m := range want.Members {
			ours[m.GUID] = true
		}
		for _, g := range want.Leaving {
			ours[g] = true
		}
		c := Diff(want, members(fabric), inRange)
		for _, b := range c.Adds {
			for _, g := range b.GUIDs {
				fabric[g] = b.Mode
			}
		}
		for _, g := range c.Remove {
			if !ours[g] {
				t.Fatalf("removes %s, which no row explains", g)
			}
			delete(fabric, g)
		}
		again := Diff(want, members(fabric), inRange)
		if len(again.Adds)+len(again.Remove) > 0 {
			t.Fatalf("not settled: %+v", again)
		}
		if !cmp.Equal(again.Unclaimed, c.Unclaimed) || again.Foreign != c.Foreign {
			t.Fatalf("others were touched: %+v, then %+v", c, again)
		}
		for _, m := range want.Members {
			if fabric[m.GUID] != m.Mode {
				t.Fatalf("%s is %v, want %v", m.GUID, fabric[m.GUID], m.Mode)
			}
		}
	})
}

func members(fabric map[guid.GUID]Mode) []Member {
	var all []Member
	for g, mode := range fabric {
		all = append(all, Member{g, mode})
	}
	return all
}

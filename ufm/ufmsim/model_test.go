package ufmsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// A Sim is a map of maps that forgets what is empty, whatever comes in whatever order.
func TestAddRemovePutAgainstAPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		model := map[pkey.PKey]map[guid.GUID]pkey.Mode{}
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			p := pkey.PKey(rapid.Uint16Range(1, 3).Draw(t, "pkey"))
			ns := rapid.SliceOfN(rapid.IntRange(1, 6), 1, 6).Draw(t, "guids")
			mode := pkey.Mode{Membership: pkey.Membership(rapid.IntRange(0, 1).Draw(t, "membership")), Index0: rapid.Bool().Draw(t, "index0")}
			body := fmt.Sprintf(`{"pkey":%q,"guids":[%s],"membership":%q,"index0":%v}`, p, guidsJSON(ns...), mode.Membership, mode.Index0)
			switch rapid.SampledFrom([]Op{OpAdd, OpRemove, OpPut}).Draw(t, "op") {
			case OpAdd:
				mustCall(t, s, http.MethodPost, "/resources/pkeys", body)
			case OpPut:
				delete(model, p)
				mustCall(t, s, http.MethodPut, "/resources/pkeys", body)
			case OpRemove:
				for _, n := range ns {
					delete(model[p], g(n))
				}
				mustCall(t, s, http.MethodPost, "/actions/remove_guids_from_pkey", fmt.Sprintf(`{"pkey":%q,"guids":[%s]}`, p, guidsJSON(ns...)))
				ns = nil
			}
			for _, n := range ns {
				if model[p] == nil {
					model[p] = map[guid.GUID]pkey.Mode{}
				}
				model[p][g(n)] = mode
			}
			maps.DeleteFunc(model, func(_ pkey.PKey, m map[guid.GUID]pkey.Mode) bool { return len(m) == 0 })
			if diff := cmp.Diff(model, asMap(s.Partitions())); diff != "" {
				t.Fatal(diff)
			}
		}
		if diff := cmp.Diff(s.Partitions(), s.Applied()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func mustCall(t *rapid.T, s *Sim, method, path, body string) {
	if status, answer, err := send(s, method, path, body); status != http.StatusOK || err != nil {
		t.Fatalf("%s %s: %d %s %v", method, body, status, answer, err)
	}
}

func asMap(parts []Partition) map[pkey.PKey]map[guid.GUID]pkey.Mode {
	all := map[pkey.PKey]map[guid.GUID]pkey.Mode{}
	for _, p := range parts {
		if p.PKey == pkey.Default {
			continue
		}
		all[p.PKey] = map[guid.GUID]pkey.Mode{}
		for _, m := range p.Members {
			all[p.PKey][m.GUID] = m.Mode
		}
	}
	return all
}

func FuzzBodies(f *testing.F) {
	routes := []string{
		"POST /resources/pkeys", "PUT /resources/pkeys", "POST /resources/pkeys/add", "PUT /resources/pkeys/qos_conf",
		"POST /actions/remove_guids_from_pkey", "POST /actions/add_guids_to_pkey", "DELETE /resources/pkeys/0x5/guids/", "GET /resources/pkeys/",
		"POST /ufm-sim/faults", "PUT /ufm-sim/quirks", "PUT /ufm-sim/timing",
	}
	for i, body := range []string{
		addBody(5, 1, 2), `{"pkey":"0x5","guids":[],"memberships":[]}`, `{"pkey":"0x5"}`, `{"pkey":"0x5","rate_limit":1e400}`,
		`{"pkey":"0x5","guids":[null]}`, `[]`, h(1), "0x5", `{"kind":"status"}`, `{"list-both":"full"}`, `{"change":"1h"}`,
	} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, route uint8, body string) {
		// A clock at which every wait is over: what the fuzzer sets to an hour takes none.
		s, err := New(Config{Control: true, Clock: hasty{}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		method, path, _ := strings.Cut(routes[int(route)%len(routes)], " ")
		if strings.HasSuffix(path, "/") {
			path, body = path+strings.Map(pathSafe, body), ""
		}
		status, answer, err := send(s, method, path, body)
		if !slices.Contains([]int{200, 201, 400, 404, 414}, status) || err != nil || len(answer) > 4096 {
			t.Fatalf("%s %s %q: %d %.200s %v", method, path, body, status, answer, err)
		}
		if status == 400 && len(s.Partitions()) != 1 {
			t.Fatalf("refused, and yet %v", s.Partitions())
		}
	})
}

type hasty struct{}

func (hasty) Now() time.Time { return time.Time{}.AddDate(2026, 0, 0) }
func (hasty) After(time.Duration) <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

func pathSafe(r rune) rune {
	if r > ' ' && r < 0x7f && !strings.ContainsRune("/?#%\\.\"", r) {
		return r
	}
	return 'x'
}

// 50,000 members in chunks of 1,000, then a list of them all.
func BenchmarkAdd1000(b *testing.B) {
	s := newSim(b, Config{JournalLimit: 10})
	bodies := make([]string, 50)
	for i := range bodies {
		ns := make([]int, 1000)
		for j := range ns {
			ns[j] = i*1000 + j + 1
		}
		bodies[i] = addBody(5, ns...)
	}
	for i := 0; b.Loop(); i++ {
		mustSend(b, s, "POST", "/resources/pkeys", bodies[i%len(bodies)])
	}
}

func BenchmarkList50000(b *testing.B) {
	s := newSim(b, Config{})
	p := pkey.Partition{PKey: 5}
	for n := range 50000 {
		p.Members = append(p.Members, member(n+1, pkey.Full, true))
	}
	if err := s.Preload(p); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.list(true, false)
	}
}

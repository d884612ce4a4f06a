package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// Results of a scenario.
const (
	pass, fail, skip = "pass", "fail", "skip"
)

// scenario is a test without subtests, or one that failed by itself.
type scenario struct {
	Name    string  `json:"name"`
	Kernel  string  `json:"kernel"` // as uname -r gives it; empty: needs no guest
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
	Why     string  `json:"why,omitempty"` // it was skipped

	pkg, test string
}

type summary struct {
	Scenarios []scenario   `json:"scenarios"`
	Plugins   []pluginCell `json:"plugins,omitempty"`
	Passed    int          `json:"passed"`
	Failed    int          `json:"failed"`
	Skipped   int          `json:"skipped"`
}

// report is what is known so far.
type report struct {
	list     []scenario
	words    map[string]string // of tests, by package and name
	releases map[string]string // of kernels, by what a test calls them
	plugins  []pluginCell
}

func newReport() *report { return &report{words: map[string]string{}, releases: map[string]string{}} }

var (
	kernelName = regexp.MustCompile(`/kernel_([^/]+)`)
	releaseOf  = regexp.MustCompile(`kernel (\S+): booted`)
	tookInside = regexp.MustCompile(`took ([0-9.]+) s in the guest`)
	skipReason = regexp.MustCompile(`(?s)SKIPPED[:,] (.*)`)
)

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.words[key] += e.Output
		if cell, ok := parseCell(e.Output); ok {
			r.plugins = append(r.plugins, cell)
		}
	case pass, fail, skip:
		if m := releaseOf.FindStringSubmatch(r.words[key]); m != nil {
			if name := kernelName.FindStringSubmatch(e.Test); name != nil {
				r.releases[name[1]] = m[1]
			}
		}
		r.add(e, r.words[key])
		delete(r.words, key)
	}
}

// add comes for a test after all of its subtests.
func (r *report) add(e event, words string) {
	s := scenario{pkg: e.Package, test: e.Test, Result: e.Action, Seconds: e.Elapsed}
	below := func(result string) bool {
		return slices.ContainsFunc(r.list, func(o scenario) bool {
			return o.pkg == e.Package && (e.Test == "" || strings.HasPrefix(o.test, e.Test+"/")) && (result == "" || o.Result == result)
		})
	}
	switch {
	case e.Test == "" && e.Action != fail: // a package
		return
	case e.Action == fail && below(fail), e.Action != fail && below(""):
		return // the scenarios below say it
	}
	if m := tookInside.FindStringSubmatch(words); m != nil {
		s.Seconds, _ = strconv.ParseFloat(m[1], 64)
	}
	if m := skipReason.FindStringSubmatch(words); m != nil && s.Result == skip {
		s.Why, _, _ = strings.Cut(m[1], "\n--- ")
		s.Why = strings.Join(strings.Fields(s.Why), " ")
	}
	if m := kernelName.FindStringSubmatch(e.Test); m != nil {
		s.Kernel = m[1]
	}
	s.Name = title(e.Package, e.Test)
	r.list = append(r.list, s)
}

// title is a test's name for a person: the folder and, of a path of subtests, the last.
func title(pkg, test string) string {
	folder := pkg[strings.LastIndex(pkg, "/")+1:]
	name := strings.TrimPrefix(kernelName.ReplaceAllString(test, ""), "Test")
	if _, last, ok := strings.Cut(name, "/"); ok {
		if kernelName.MatchString(test) {
			name = last
		}
	}
	return strings.TrimSuffix(folder+": "+strings.ReplaceAll(name, "_", " "), ": ")
}

func (r *report) summary() summary {
	s := summary{Scenarios: []scenario{}, Plugins: r.plugins}
	for _, o := range r.list {
		if release := r.releases[o.Kernel]; release != "" {
			o.Kernel = release
		}
		s.Scenarios = append(s.Scenarios, o)
		switch o.Result {
		case pass:
			s.Passed++
		case fail:
			s.Failed++
		default:
			s.Skipped++
		}
	}
	return s
}

// table ends with what nobody may overlook.
func (r *report) table() string {
	var b strings.Builder
	s := r.summary()
	fmt.Fprintf(&b, "\n%-5s %8s  %-24s %s\n", "", "seconds", "kernel", "scenario")
	why := map[string]int{}
	for _, o := range s.Scenarios {
		fmt.Fprintf(&b, "%-5s %8.1f  %-24s %s\n", o.Result, o.Seconds, o.Kernel, o.Name)
		if o.Result == skip {
			why[o.Why]++
		}
	}
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d skipped\n", s.Passed, s.Failed, s.Skipped)
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		fmt.Fprintf(&b, "*** SKIPPED (%d): %s ***\n", why[reason], reason)
	}
	if len(s.Plugins) > 0 {
		b.WriteString("\n" + pluginTable(s.Plugins))
	}
	return b.String()
}

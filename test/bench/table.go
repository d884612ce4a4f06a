package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// text is all that was measured, for people to read.
func (r Report) text() string {
	var parts []string
	if len(r.Results) > 0 {
		parts = append(parts, r.table()+r.rests())
	}
	if r.CNI != nil {
		parts = append(parts, r.CNI.table())
	}
	return strings.Join(parts, "\n")
}

// table shows the results on one screen: ratios to the bare loop of the same case, patches a
// pod, and calls to UFM.
func (r Report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores; UFM changes of %d ms, one at a time\n\n", r.Machine.CPU, r.Machine.Cores, r.UFMChangeMS)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CASE\tCONTENDER\tPODS\tCONFIGURED IN\tx BARE\tPATCHES\tADDS\tGONE IN\tx BARE\tREMOVES")
	last := ""
	for _, res := range r.Results {
		title := res.Title
		if title == last {
			title = ""
		}
		last = res.Title
		floor := r.floor(res.Case)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.1f\t%d\t%s\t%s\t%d\n",
			title, res.Contender, res.pods(), res.configuredIn(), ratio(res.Create, floor.Create), res.PatchesPerPod,
			res.Create.Adds, res.goneIn(), ratio(res.Delete, floor.Delete), res.Create.Removes+res.Delete.Removes)
	}
	w.Flush() // a strings.Builder takes everything
	return b.String()
}

// floor is the bare loop's result in a case; the zero Result when there is none.
func (r Report) floor(name string) Result {
	for _, res := range r.Results {
		if res.Case == name && res.Contender == bareName {
			return res
		}
	}
	return Result{}
}

func (r Result) pods() string {
	if r.Configured == r.Pods {
		return fmt.Sprint(r.Pods)
	}
	return fmt.Sprintf("%d of %d", r.Configured, r.Pods)
}

func (r Result) configuredIn() string {
	switch {
	case !r.Create.Finished:
		return fmt.Sprintf("not in %.0f s", r.LimitSeconds)
	case r.OneByOne:
		return fmt.Sprintf("%s, p99 %s", seconds(r.P50Seconds), seconds(r.P99Seconds))
	default:
		return seconds(r.Create.Seconds)
	}
}

func (r Result) goneIn() string {
	switch {
	case r.Delete.Finished:
		return seconds(r.Delete.Seconds)
	case r.Create.Finished:
		return fmt.Sprintf("not in %.0f s", r.LimitSeconds)
	default:
		return "-"
	}
}

func ratio(p, floor Phase) string {
	if !p.Finished || !floor.Finished || floor.Seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", p.Seconds/floor.Seconds)
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3f s", s)
	}
	return fmt.Sprintf("%.1f s", s)
}

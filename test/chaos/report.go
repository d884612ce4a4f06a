package chaos

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// counts are how often each kind of thing was done.
type counts struct {
	mu sync.Mutex // protects n
	n  map[Kind]int
}

func (c *counts) add(what Kind, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what] += n
}

func (c *counts) of(what Kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// faults is how many things were done that are none to pods.
func (c *counts) faults() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for what, times := range c.n {
		if group, _ := what.about(); group != "pods" {
			n += times
		}
	}
	return n
}

// line is a row of the table: what, and how often. A heading has no number.
type line struct {
	what   string
	number string
}

// group are the rows of one thing that was hit.
func (c *counts) group(name string, kinds []Kind) []line {
	list := []line{{what: strings.ToUpper(name)}}
	for _, k := range kinds {
		if group, what := k.about(); group == name {
			list = append(list, line{what, fmt.Sprint(c.of(k))})
		}
	}
	return list
}

// kinds are all there are, in the order of the tracks.
func kinds() (list []Kind) {
	for _, t := range tracks() {
		for _, c := range t.choices {
			list = append(list, c.kind)
		}
	}
	return list
}

// table is the end of a run on one screen: what was done in two columns, what came of it
// in the third.
func (c *counts) table(outcome []line) string {
	all := kinds()
	first := c.group("ufm", all)
	second := slices.Concat(c.group("controllers", all), c.group("api server", all), c.group("nodes", all), c.group("networks", all))
	third := slices.Concat(c.group("pods", all), []line{{what: "OUTCOME"}}, outcome)
	var b strings.Builder
	for i := range max(len(first), len(second), len(third)) {
		text := ""
		for _, column := range [][]line{first, second, third} {
			l := line{}
			if i < len(column) {
				l = column[i]
			}
			text += fmt.Sprintf("%-21s %5s    ", l.what, l.number)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return b.String()
}

// outcome is what a run came to.
func (w *world) outcome(j *judge, violations int, took time.Duration) []line {
	moves := func(by []*presence, of func(*presence) int) (n int) {
		for _, p := range by {
			n += of(p)
		}
		return n
	}
	var past []*presence
	for _, p := range j.past {
		past = append(past, p)
	}
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	given, again := 0, 0
	for _, owners := range w.history.owners {
		given += len(owners)
		again += max(0, len(owners)-1)
	}
	return []line{
		{"GUIDs given", fmt.Sprint(given)},
		{"of these given again", fmt.Sprint(again)},
		{"members put in", fmt.Sprint(moves(past, func(p *presence) int { return len(p.puts) }))},
		{"members taken out", fmt.Sprint(moves(past, func(p *presence) int { return len(p.takes) }))},
		{"settled after", fmt.Sprintf("%.0f s", w.settled.Seconds())},
		{"took in all", fmt.Sprintf("%.0f s", took.Seconds())},
		{"VIOLATIONS", fmt.Sprint(violations)},
	}
}

const progressEvery = 5 * second

// progress writes a line now and then for whoever waits, until ctx ends.
func (w *world) progress(ctx context.Context, out io.Writer) {
	for began := time.Now(); ; {
		pause(ctx, progressEvery)
		if ctx.Err() != nil {
			return
		}
		configured, present := 0, w.history.present()
		for _, p := range present {
			if p.configured {
				configured++
			}
		}
		fmt.Fprintf(out, "%4.0f s  %s: %d pods made, %d there, %d configured, %d faults, %d controllers, %s\n",
			time.Since(began).Seconds(), w.getStage(), w.counts.of(PodsCreate), len(present), configured,
			w.counts.faults(), w.replicas.count(), w.ufms.now().name)
	}
}

package pages

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// funcs are what the templates call.
func funcs(a assets) template.FuncMap {
	return template.FuncMap{
		"asset":    a.url,
		"podURL":   podURL,
		"guidURL":  func(g guid.GUID) string { return Prefix + "guids/" + g.String() },
		"pkeyURL":  func(p pkey.PKey) string { return Prefix + "partitions/" + p.String() },
		"nodeURL":  func(name string) string { return Prefix + "nodes/" + url.PathEscape(name) },
		"hitURL":   hitURL,
		"count":    count,
		"plural":   plural,
		"took":     took,
		"badge":    badge,
		"bar":      newBar,
		"percent":  percent,
		"hexGUID":  func(g guid.GUID) string { return g.Hex() },
		"topics":   joinTopics,
		"dict":     dict,
		"few":      few,
		"ends":     func(span string) []string { return strings.Split(span, "..") },
		"sentence": sentence,
	}
}

// dict makes a map of names and values in turn, for a template with several.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes pairs, not %d values", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

func podURL(p api.PodName) string {
	return Prefix + "pods/" + url.PathEscape(p.Namespace) + "/" + url.PathEscape(p.Name)
}

// hitURL is the page of what a search found.
func hitURL(h api.Hit) string {
	switch {
	case h.Kind == api.HitPod && h.Pod != nil:
		return podURL(*h.Pod)
	case h.Kind == api.HitPod:
		namespace, name, _ := strings.Cut(h.Name, "/")
		return podURL(api.PodName{Namespace: namespace, Name: name})
	case h.Kind == api.HitGUID:
		return Prefix + "guids/" + url.PathEscape(h.Name)
	case h.Kind == api.HitPKey:
		return Prefix + "partitions/" + url.PathEscape(h.Name)
	}
	return Prefix + "nodes/" + url.PathEscape(h.Name)
}

// count writes a number with its thousands apart: 100,000. Below zero is not counted.
func count(v any) string {
	var digits string
	switch n := v.(type) {
	case int:
		if n < 0 {
			return "?"
		}
		digits = strconv.Itoa(n)
	case uint64:
		digits = strconv.FormatUint(n, 10)
	default:
		return fmt.Sprint(v)
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural is a counted noun: 1 pod, 2 pods.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// percent is a share of a whole, as a bar is labelled.
func percent(part, whole any) string {
	share := shareOf(part, whole)
	switch {
	case share > 0 && share < 0.001:
		return "under 0.1 %"
	case share < 0.1:
		return strconv.FormatFloat(share*100, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64) + " %"
}

func shareOf(part, whole any) float64 {
	p, w := number(part), number(whole)
	if w <= 0 {
		return 0
	}
	return p / w
}

func number(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case uint64:
		return float64(n)
	}
	return 0
}

// bar is how full something is, for a small drawing of 100 units.
type bar struct {
	Width int
	Over  bool
}

func newBar(part, whole any) bar {
	share := shareOf(part, whole)
	width := int(math.Round(share * 100))
	if share > 0 {
		width = max(width, 1) // a little is not nothing
	}
	return bar{Width: min(width, 100), Over: share > 1}
}

// took writes how long something took, to three digits: 204 ms, 1.25 s.
func took(d api.Duration) string {
	t := time.Duration(d)
	switch {
	case t <= 0:
		return "–"
	case t < time.Millisecond:
		return strconv.Itoa(int(t.Microseconds())) + " µs"
	case t < 10*time.Millisecond:
		return strconv.FormatFloat(float64(t)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	case t < time.Second:
		return strconv.Itoa(int(t.Milliseconds())) + " ms"
	case t < time.Minute:
		return strconv.FormatFloat(t.Seconds(), 'g', 3, 64) + " s"
	}
	return span(t)
}

// span writes a time span in its two largest units: 45 s, 3 min 20 s, 2 h 5 min, 4 d 3 h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(big time.Duration, bigName string, small time.Duration, smallName string) string {
		text := strconv.Itoa(int(d/big)) + " " + bigName
		if rest := int(d % big / small); rest > 0 {
			text += " " + strconv.Itoa(rest) + " " + smallName
		}
		return text
	}
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < 10*time.Minute:
		return two(time.Minute, "min", time.Second, "s")
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < day:
		return two(time.Hour, "h", time.Minute, "min")
	case d < 100*day:
		return two(day, "d", time.Hour, "h")
	}
	return strconv.Itoa(int(d/day)) + " d"
}

// moment is a time as a page shows it.
type moment struct {
	Machine  string // for programs, the script among them
	Relative string // 3 min ago, in 5 min
	Exact    string // 20:12:55 of the same day, else 2026-11-28 20:12:55; UTC
}

// When is a time as seen from now; nil is not known.
func (p page) When(t time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	m := &moment{Machine: t.Format(time.RFC3339), Exact: t.Format(time.DateTime)}
	if t.Format(time.DateOnly) == p.Now.Format(time.DateOnly) {
		m.Exact = t.Format(time.TimeOnly)
	}
	switch d := p.Now.Sub(t); {
	case d < -time.Second:
		m.Relative = "in " + span(-d)
	case d < time.Second:
		m.Relative = "now"
	default:
		m.Relative = span(d) + " ago"
	}
	return m
}

// sentence begins a text with a capital, unless its first word is a name or a command.
func sentence(s string) string {
	first, _, _ := strings.Cut(s, " ")
	first = strings.TrimRight(first, ",:;.")
	if first == "" || first == "ibfabric" || strings.ContainsFunc(first, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func joinTopics(topics []api.Topic) string {
	words := make([]string, len(topics))
	for i, t := range topics {
		words[i] = string(t)
	}
	return strings.Join(words, " ")
}

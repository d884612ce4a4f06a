// Package journal keeps what the controller changed in UFM and why, for people: bounded,
// in memory, and in the API server beside the ledger, so that the next leader has it.
//
// The ledger is what the controller goes by; the journal decides nothing. It is written
// behind the changes, a few seconds' worth at a time: a leader that crashes takes the last
// of them with it, and no more.
package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Verb is what was done.
type Verb string

// The verbs.
const (
	Add     Verb = "add"
	Remove  Verb = "remove"
	Qualify Verb = "qualify"
	Reclaim Verb = "reclaim"
	Release Verb = "release"
)

// Outcome is how it went. What is known not to have happened is no entry.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused" // UFM will not have it
	Unknown Outcome = "unknown" // no answer came: it may have happened
)

// The bounds of what one entry names. GUIDs are given out in order, so that a thousand of
// them are a few spans.
const (
	maxSpans = 64
	maxPods  = 64
	maxText  = 300 // bytes of an error or a reason
)

// Entry is one change. It is not changed once it is noted.
type Entry struct {
	ID         uint64
	At         time.Time
	Verb       Verb
	PKey       pkey.PKey // 0: of no partition
	Membership string
	Count      int // of GUIDs
	GUIDs      []guid.Range
	Pods       []types.NamespacedName
	From       string // the UFM that answered
	Took       time.Duration
	Outcome    Outcome
	Err        string
	Why        string
	Times      int // it went so, so often in a row; 0 is once
	Leader     string
	User       string // who asked for it
}

// Name puts GUIDs and the pods that have them into an entry, as far as it has room.
func (e *Entry) Name(guids []guid.GUID, pods []types.NamespacedName) {
	e.Count = len(guids)
	e.GUIDs = spans(guids)
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	pods = slices.Compact(pods)
	e.Pods = pods[:min(len(pods), maxPods)]
}

// spans are GUIDs as few ranges, the first maxSpans of them.
func spans(guids []guid.GUID) []guid.Range {
	sorted := slices.Clone(guids)
	slices.Sort(sorted)
	var list []guid.Range
	for _, g := range sorted {
		if n := len(list); n > 0 && g <= list[n-1].Last+1 {
			list[n-1].Last = g
			continue
		}
		if len(list) == maxSpans {
			break
		}
		list = append(list, guid.Range{First: g, Last: g})
	}
	return list
}

// Has reports whether an entry names a GUID.
func (e *Entry) Has(g guid.GUID) bool {
	return slices.ContainsFunc(e.GUIDs, func(r guid.Range) bool { return r.Contains(g) })
}

// Listed are the GUIDs that an entry names, at most so many.
func (e *Entry) Listed(most int) (list []guid.GUID) {
	for _, r := range e.GUIDs {
		for g := r.First; g <= r.Last && len(list) < most; g++ {
			list = append(list, g)
		}
	}
	return list
}

// same reports whether an entry says again what another one says.
func (e *Entry) same(o *Entry) bool {
	return e.Outcome != Done && e.Verb == o.Verb && e.PKey == o.PKey && e.Outcome == o.Outcome && e.Err == o.Err &&
		e.Membership == o.Membership && e.Leader == o.Leader && slices.Equal(e.GUIDs, o.GUIDs)
}

// stored is an entry as a page has it.
type stored struct {
	ID         uint64    `json:"id"`
	At         time.Time `json:"at"`
	Verb       Verb      `json:"verb"`
	PKey       pkey.PKey `json:"pkey,omitzero"`
	Membership string    `json:"membership,omitempty"`
	Count      int       `json:"count,omitempty"`
	GUIDs      []string  `json:"guids,omitempty"` // first, or first..last
	Pods       []string  `json:"pods,omitempty"`
	From       string    `json:"from,omitempty"`
	Took       string    `json:"took,omitempty"`
	Outcome    Outcome   `json:"outcome"`
	Err        string    `json:"err,omitempty"`
	Why        string    `json:"why,omitempty"`
	Times      int       `json:"times,omitempty"`
	Leader     string    `json:"leader,omitempty"`
	User       string    `json:"user,omitempty"`
}

// text is an entry as it is stored.
func (e *Entry) text() string {
	s := stored{
		ID: e.ID, At: e.At.UTC().Round(time.Millisecond), Verb: e.Verb, PKey: e.PKey, Membership: e.Membership, Count: e.Count,
		From: e.From, Took: e.Took.Round(time.Millisecond).String(), Outcome: e.Outcome, Err: e.Err, Why: e.Why, Times: e.Times, Leader: e.Leader, User: e.User,
	}
	for _, r := range e.GUIDs {
		if r.First == r.Last {
			s.GUIDs = append(s.GUIDs, r.First.String())
		} else {
			s.GUIDs = append(s.GUIDs, r.String())
		}
	}
	for _, p := range e.Pods {
		s.Pods = append(s.Pods, p.String())
	}
	data, err := json.Marshal(s)
	if err != nil {
		return "{}" // texts and numbers always marshal
	}
	return string(data)
}

// parse reads what text writes. Somebody may have spoilt it by hand.
func parse(text string) (*Entry, error) {
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("entry of the journal: %w", err)
	}
	e := &Entry{
		ID: s.ID, At: s.At, Verb: s.Verb, PKey: s.PKey, Membership: clip(s.Membership), Count: s.Count, From: clip(s.From),
		Outcome: s.Outcome, Err: clip(s.Err), Why: clip(s.Why), Times: s.Times, Leader: clip(s.Leader), User: clip(s.User),
	}
	e.Took, _ = time.ParseDuration(s.Took) // 0 is not known
	for _, span := range s.GUIDs[:min(len(s.GUIDs), maxSpans)] {
		first, last, isSpan := strings.Cut(span, "..")
		if !isSpan {
			last = first
		}
		r, err := guid.ParseRange(first, last)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the journal: %w", s.ID, err)
		}
		e.GUIDs = append(e.GUIDs, r)
	}
	for _, pod := range s.Pods[:min(len(s.Pods), maxPods)] {
		namespace, name, _ := strings.Cut(pod, "/")
		e.Pods = append(e.Pods, types.NamespacedName{Namespace: namespace, Name: name})
	}
	return e, nil
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

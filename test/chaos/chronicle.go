package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// chronicle is what was done and seen, as far as somebody who looks for the cause of a
// violation wants to read it.
type chronicle struct {
	mu    sync.Mutex // protects notes
	notes []note
}

// note is one line of it. A note without a pod is of the world, and concerns all.
type note struct {
	at   time.Time
	pod  types.UID
	text string
}

func (c *chronicle) say(format string, args ...any) { c.ofPod("", format, args...) }

func (c *chronicle) ofPod(uid types.UID, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, note{time.Now(), uid, fmt.Sprintf(format, args...)})
}

// of are the notes of the world and of some pods.
func (c *chronicle) of(pods map[types.UID]bool) []note {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.notes), func(n note) bool { return n.pod != "" && !pods[n.pod] })
}

func (c *chronicle) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return lines(c.notes)
}

func lines(notes []note) string {
	notes = slices.Clone(notes)
	slices.SortStableFunc(notes, func(a, b note) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, n := range notes {
		fmt.Fprintf(&b, "%s  %s\n", clock(n.at), n.text)
	}
	return b.String()
}

// violation is a rule that was broken: when, and who suffered it.
type violation struct {
	at   time.Time
	guid guid.GUID // 0: it is about no GUID
	pod  types.UID // "": about no pod
	text string
}

func (v violation) String() string { return v.text }

// before and after a violation is what its story shows of the world; of its GUID and its
// pods it shows everything.
const before, after = 15 * time.Second, 3 * time.Second

// story is all that is known of the GUID and the pods of a violation, in order of time.
func (w *world) story(v violation) string {
	pods, guids := map[types.UID]bool{v.pod: v.pod != ""}, map[guid.GUID]bool{v.guid: v.guid != 0}
	w.history.mu.Lock()
	if l := w.history.lives[v.pod]; l != nil && v.guid == 0 {
		for _, t := range l.tenures {
			guids[t.element.GUID] = true
		}
	}
	for g := range guids {
		for _, t := range w.history.owners[g] {
			pods[t.life.uid] = true
		}
	}
	w.history.mu.Unlock()
	notes := slices.DeleteFunc(w.chronicle.of(pods), func(n note) bool {
		return n.pod == "" && (n.at.Before(v.at.Add(-before)) || n.at.After(v.at.Add(after)))
	})
	for _, u := range w.ufms.every() {
		for _, e := range u.sim.Journal() {
			notes = append(notes, entryNotes(u.name, e, guids)...)
		}
	}
	return v.text + "\n" + lines(notes)
}

// entryNotes are what a journal's entry says of some GUIDs.
func entryNotes(ufm string, e ufmsim.Entry, guids map[guid.GUID]bool) []note {
	at := e.Received
	if !e.Changed.IsZero() {
		at = e.Changed
	}
	var notes []note
	for _, m := range e.Members {
		if guids[m.GUID] {
			notes = append(notes, note{at: at, text: fmt.Sprintf("%s #%d: %s %s, %s (%s) among %d, came %s: %s",
				ufm, e.Seq, e.Op, e.PKey, m.GUID, m.Mode, len(e.Members), clock(e.Received), cmp.Or(e.Outcome, "no answer"))})
		}
	}
	return notes
}

// excerpt is a story short enough for a screen: its end, up to a little after the
// violation.
func excerpt(story string, atMost int) string {
	all := strings.Split(strings.TrimRight(story, "\n"), "\n")
	if len(all) <= atMost {
		return story
	}
	return all[0] + "\n  …\n" + strings.Join(all[len(all)-atMost:], "\n") + "\n"
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

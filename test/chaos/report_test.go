package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

func TestAStoryHasAllThatIsKnownOfAGUID(t *testing.T) {
	x := newTrial()
	sim, err := ufmsim.New(ufmsim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	x.first.sim = sim
	w := &world{history: x.history, chronicle: x.history.chronicle, ufms: &ufms{all: []*ufm{x.first}}}
	a, other := x.made("a", 0), x.made("other", 0)
	x.configured(a, 1)
	x.configuredWith(other, 1, someGUID+1, somePKey)
	w.chronicle.say("the API server is killed")
	story := w.story(violation{time.Now(), someGUID, "", "rule 1: something"})
	for text, want := range map[string]bool{"rule 1: something": true, "pod a (a)": true, "configured as " + someGUID.String(): true, "pod other": false, "API server is killed": true} {
		if strings.Contains(story, text) != want {
			t.Errorf("%q is in it: %t, want %t:\n%s", text, !want, want, story)
		}
	}
	e := ufmsim.Entry{Seq: 7, Op: ufmsim.OpAdd, PKey: somePKey, Outcome: "done", Members: []pkey.Member{{GUID: someGUID, Mode: someMode()}, {GUID: someGUID + 1}}}
	notes := entryNotes("ufm-0", e, map[guid.GUID]bool{someGUID: true})
	if len(notes) != 1 || !strings.Contains(notes[0].text, "ufm-0 #7: add 0x5, "+someGUID.String()) {
		t.Errorf("of the journal it tells %v", notes)
	}
	if short := excerpt(strings.Repeat("a line\n", 100), 10); strings.Count(short, "\n") != 12 {
		t.Errorf("the excerpt:\n%s", short)
	}
}

func TestTheTableFitsAScreen(t *testing.T) {
	c := &counts{n: map[Kind]int{}}
	for i, k := range kinds() {
		c.add(k, i+1)
	}
	table := c.table([]line{{"took in all", "99 s"}, {"VIOLATIONS", "12"}})
	for i, k := range kinds() {
		if _, what := k.about(); !strings.Contains(table, fmt.Sprintf("%-21s %5d", what, i+1)) {
			t.Errorf("%s is not in it, or not its number", k)
		}
	}
	rows := strings.Split(strings.TrimSpace(table), "\n")
	for _, row := range rows {
		if len(row) > 96 {
			t.Errorf("%d columns: %s", len(row), row)
		}
	}
	if len(rows) > 20 || !strings.Contains(table, "VIOLATIONS") {
		t.Errorf("%d rows:\n%s", len(rows), table)
	}
}

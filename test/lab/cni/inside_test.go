//go:build linux

package cni

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/cni/scenarios"
)

// inside is set in the guest's environment.
const inside = "IBFABRIC_IN_GUEST"

// needsGuest keeps a test to the guest; TestOnRealKernels runs it there.
func needsGuest(t *testing.T) {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("runs in the lab's guest, which TestOnRealKernels boots")
	}
}

// outcome is one line of the table that the guest hands out.
type outcome struct {
	Name   string
	Result string // pass, fail or skip
	Took   time.Duration
}

const (
	pass, fail, skip = "pass", "fail", "skip"
	outcomes         = "outcomes.json" // in the guest's /out
)

func result(t *testing.T) string {
	switch {
	case t.Failed():
		return fail
	case t.Skipped():
		return skip
	}
	return pass
}

// TestInsideStories shows facts and plays stories, each on a node as it is after boot.
func TestInsideStories(t *testing.T) {
	needsGuest(t)
	lab := New(t)
	for _, f := range facts() {
		if wanted(storiesWanted, f.name) {
			play(t, lab, f.name, func(t *testing.T) { f.show(t, lab) })
		}
	}
	for _, s := range scenarios.All() {
		if wanted(storiesWanted, s.Name) {
			play(t, lab, s.Name, func(t *testing.T) { s.Run(t, lab) })
		}
	}
	playPrograms(t, lab)
}

// play runs one fact or story, tidies up after it, and notes what became of it.
func play(t *testing.T, lab *Lab, name string, story func(*testing.T)) {
	t.Helper()
	note(t, rehearse(t, lab, name, story))
}

// rehearse is play for what nobody needs to know of.
func rehearse(t *testing.T, lab *Lab, name string, story func(*testing.T)) outcome {
	t.Helper()
	out := outcome{Name: name}
	t.Run(name, func(t *testing.T) {
		begun := time.Now()
		defer func() { out.Result, out.Took = result(t), time.Since(begun) }()
		skipKnown(t, name)
		defer lab.At(t).Tidy()
		story(t)
	})
	return out
}

// note keeps what is known so far: a story may end the guest.
func note(t *testing.T, o outcome) {
	t.Helper()
	const file = "/out/" + outcomes
	var list []outcome
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &list)
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err == nil {
		text, err = json.Marshal(append(list, o))
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

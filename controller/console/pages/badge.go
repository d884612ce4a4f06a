package pages

import "github.com/ibfabric/ibfabric/controller/console/api"

// mark is a state in words, with the shape that it has wherever it is shown: a shape and a
// word say it also to those who do not see colours.
type mark struct {
	Shape string // good, wait, bad, gone, held, plain
	Word  string
}

// The shapes.
const (
	good  = "good"  // a disc: as it should be
	wait  = "wait"  // a triangle: on its way
	bad   = "bad"   // a square on its corner: somebody should look
	held  = "held"  // a ring: kept back
	plain = "plain" // a bar: nobody's business here
)

// shapeOf is the shape of a word. api.Leaving is also a pod's state, and api.DriftMissing
// also a part of a pod that is on its way in.
func shapeOf(word string) string {
	switch word {
	case string(api.PodConfigured), string(api.Assigned), string(api.Ours), string(api.Done),
		"ready", "known", "works", "in sync", "yes", "ok", "agrees":
		return good
	case string(api.PodWaiting), string(api.DriftUnread), string(api.Unknown),
		"failed", "not known", "on its way", "missing":
		return wait
	case string(api.PodRefused), string(api.Unclaimed), string(api.DriftMode), string(api.DriftLeftover),
		"not ready", "not in the cluster", "does not work", "over", "differs", "no":
		return bad
	case string(api.PodLeaving), string(api.Held):
		return held
	}
	return plain
}

// badge is the mark of a state, an outcome, a kind or a word.
func badge(state any) mark {
	var word string
	switch s := state.(type) {
	case string:
		word = s
	case api.PodState:
		word = string(s)
	case api.RowState:
		word = string(s)
	case api.MemberKind:
		word = string(s)
	case api.DriftKind:
		word = string(s)
	case api.Outcome:
		word = string(s)
	}
	return mark{Shape: shapeOf(word), Word: word}
}

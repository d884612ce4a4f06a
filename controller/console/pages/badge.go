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

var shapes = map[string]string{
	string(api.PodWaiting): wait, string(api.PodRefused): bad, string(api.PodConfigured): good,
	string(api.PodIgnored): plain, string(api.PodLeaving): held,

	string(api.Assigned): good, string(api.Held): held, // api.Leaving is a pod's too

	string(api.Ours): good, string(api.Unclaimed): bad, string(api.Foreign): plain,

	string(api.DriftMode): bad, string(api.DriftLeftover): bad, string(api.DriftUnread): wait,

	// api.DriftMissing is what any part of a pod can be: on its way in.
	string(api.Done): good, string(api.Unknown): wait, "failed": wait,

	"ready": good, "not ready": bad, "not in the cluster": bad, "known": good, "not known": wait,
	"works": good, "does not work": bad, "over": bad, "in sync": good, "differs": bad, "on its way": wait,
	"yes": good, "no": bad, "ok": good, "missing": wait, "not reported": plain, "unknown partition": plain, "agrees": good,
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
	shape, ok := shapes[word]
	if !ok {
		shape = plain
	}
	return mark{Shape: shape, Word: word}
}

package pages

import (
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
)

// fewNames is how many pods or GUIDs a change names before the rest is folded away.
const fewNames = 3

// named is whom a change was for, the first of them apart.
type named struct {
	Pods     []api.PodName // the first, where pods are known
	GUIDs    []guid.GUID   // the first, where they are not
	RestPods []api.PodName
	More     bool   // there is something to fold out
	Summary  string // of what is folded away
	Unlisted int    // GUIDs that are only counted
}

// few takes an api.Entry or an api.Step.
func few(change any) named {
	var n named
	var pods []api.PodName
	var guids []guid.GUID
	var all int
	switch c := change.(type) {
	case api.Entry:
		pods, guids, all = c.Pods, c.GUIDs, c.Count
	case api.Step:
		pods, guids, all = c.Pods, c.GUIDs, c.Count
	}
	n.Unlisted = max(0, all-len(guids))
	switch {
	case len(pods) > 0:
		first := min(fewNames, len(pods))
		n.Pods, n.RestPods = pods[:first], pods[first:]
		n.More = len(guids) > 0
		n.Summary = plural(all, "GUID", "GUIDs")
		if len(n.RestPods) > 0 {
			n.Summary = plural(len(n.RestPods), "pod", "pods") + " more, " + n.Summary
		}
	default:
		n.GUIDs = guids[:min(fewNames, len(guids))]
		n.More = all > len(n.GUIDs)
		n.Summary = "all " + plural(all, "GUID", "GUIDs")
	}
	return n
}

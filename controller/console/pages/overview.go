package pages

import (
	"net/http"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// recent is how many of the last changes the overview shows.
const recent = 6

// overviewData is the fabric on one page.
type overviewData struct {
	api.Overview
	Verdict verdict
	Recent  []api.Entry
}

// verdict answers the one question that the overview is for: is the fabric what the cluster
// says?
type verdict struct {
	Shape  string
	Title  string
	Detail string
	Link   string // where more of it stands, below Prefix
}

func (p *Pages) overview(*http.Request) (page, error) {
	o, err := p.answers.Overview()
	if err != nil {
		return page{}, err
	}
	data := overviewData{Overview: o, Verdict: judge(&o)}
	if o.Leader.Adopted { // before that there is an overview and nothing else
		journal, err := p.answers.Journal(api.Query{Limit: recent})
		if err != nil {
			return page{}, err
		}
		data.Recent = journal.Items
	}
	return page{
		look: "overview", Title: "Overview", Nav: "", Data: data,
		Topics: []api.Topic{api.TopicOverview, api.TopicJournal},
	}, nil
}

// judge begins with what makes the rest uncertain.
func judge(o *api.Overview) verdict {
	switch {
	case o.Leader.Blocked != "":
		return verdict{Shape: bad, Title: "The controller has not begun", Detail: o.Leader.Blocked}
	case !o.Leader.Adopted:
		return verdict{Shape: wait, Title: "The controller is still reading", Detail: "It reads its ledger, the pods and UFM before it does or says anything. What is missing below may only not have been read yet."}
	case !o.UFM.Reads.OK:
		return verdict{Shape: bad, Title: "UFM does not answer: nobody knows what the fabric is like", Detail: o.UFM.Reads.Error}
	case o.Drift > 0:
		return verdict{Shape: bad, Title: "The fabric is not what the cluster says: " + plural(o.Drift, "member differs", "members differ"), Detail: driftDetail(o), Link: "drift"}
	case !o.UFM.Writes.OK:
		return verdict{Shape: bad, Title: "UFM takes no changes", Detail: o.UFM.Writes.Error}
	case o.Members.Pending+o.Members.Leaving > 0:
		return verdict{Shape: wait, Title: "The fabric follows the cluster: " + onTheWay(o.Members), Detail: waitsFor(o), Link: "plan"}
	case o.Members.Unclaimed > 0:
		return verdict{
			Shape: wait, Title: "UFM has what the cluster says, and " + plural(o.Members.Unclaimed, "member", "members") + " more that nobody explains", Link: "drift",
			Detail: "They are of this controller's GUID range, and no row of its ledger has them. It never takes them out by itself.",
		}
	case !o.InSync:
		return verdict{Shape: wait, Title: "The fabric is not known to be what the cluster says", Detail: "Not all of UFM could be read. It is read again at the next full read."}
	}
	return verdict{Shape: good, Title: "The fabric is what the cluster says", Detail: goodDetail(o)}
}

func driftDetail(o *api.Overview) string {
	if o.DryRun {
		return "The controller runs with --sync-policy=dry-run and mends nothing."
	}
	return "Members that are the controller's are mended by themselves; what needs a person says so."
}

func onTheWay(c api.Counts) string {
	in, out := plural(c.Pending, "member", "members")+" on the way in", plural(c.Leaving, "member", "members")+" on the way out"
	switch {
	case c.Leaving == 0:
		return in
	case c.Pending == 0:
		return out
	}
	return in + ", " + count(c.Leaving) + " on the way out"
}

func waitsFor(o *api.Overview) string {
	if o.DryRun {
		return "The controller runs with --sync-policy=dry-run: it only says what it would do."
	}
	if o.Members.Unclaimed > 0 {
		return "UFM has " + plural(o.Members.Unclaimed, "member", "members") + " besides that nobody explains; all else is as it should be."
	}
	return "All else is as it should be."
}

func goodDetail(o *api.Overview) string {
	if !o.UFM.Shows {
		return "As far as the subnet manager's answers say: it cannot be read."
	}
	return "UFM holds each of the " + plural(o.Members.Desired, "membership", "memberships") + " that the ledger wants, and none that it does not."
}

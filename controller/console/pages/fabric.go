package pages

import (
	"net/http"
	"net/url"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (p *Pages) nodes(r *http.Request) (page, error) {
	list, err := listOf(r, p.answers.Nodes)
	if err != nil {
		return page{}, err
	}
	return page{look: "nodes", Title: "Nodes", Nav: "nodes", Data: list, Topics: []api.Topic{api.TopicNodes}}, nil
}

// node finds one node in the list of them: there are thousands at most.
func (p *Pages) node(r *http.Request) (page, error) {
	name := r.PathValue("node")
	q := api.Query{Limit: api.MaxLimit}
	for {
		list, err := p.answers.Nodes(q)
		if err != nil {
			return page{}, err
		}
		for i := range list.Items {
			if list.Items[i].Name == name {
				return page{look: "node", Title: "Node " + name, Nav: "nodes", Data: list.Items[i], Topics: []api.Topic{api.TopicNodes}}, nil
			}
		}
		if q.Continue = list.Continue; q.Continue == "" {
			return page{}, &api.Error{Code: http.StatusNotFound, Message: "node " + name + " has no pods of this fabric, or the cluster does not have it"}
		}
	}
}

func (p *Pages) drift(r *http.Request) (page, error) {
	list, err := listOf(r, p.answers.Drift)
	if err != nil {
		return page{}, err
	}
	return page{look: "drift", Title: "Drift", Nav: "drift", Data: list, Topics: []api.Topic{api.TopicDrift}}, nil
}

func (p *Pages) plan(r *http.Request) (page, error) {
	list, err := listOf(r, p.answers.Plan)
	if err != nil {
		return page{}, err
	}
	return page{look: "plan", Title: "Due changes", Nav: "plan", Data: list, Topics: []api.Topic{api.TopicPlan}}, nil
}

// journalData is a page of the journal, and of what it is.
type journalData struct {
	List  list[api.Entry]
	Query api.Query
}

func (p *Pages) journal(r *http.Request) (page, error) {
	list, err := listOf(r, p.answers.Journal)
	if err != nil {
		return page{}, err
	}
	q, err := api.ParseQuery(r.URL.Query())
	if err != nil {
		return page{}, badRequest(err)
	}
	return page{look: "journal", Title: "Journal", Nav: "journal", Data: journalData{list, q}, Topics: []api.Topic{api.TopicJournal}}, nil
}

// searchData is what was found.
type searchData struct {
	api.List[api.Hit]
	Text string
}

// search leads to the one thing that was found, or lists what was.
func (p *Pages) search(r *http.Request) (page, error) {
	q, err := api.ParseQuery(url.Values{api.QueryText: {r.URL.Query().Get(api.QueryText)}})
	if err != nil {
		return page{}, badRequest(err)
	}
	data := searchData{Text: q.Text}
	if q.Text != "" {
		if data.List, err = p.answers.Search(q); err != nil {
			return page{}, err
		}
	}
	if len(data.Items) == 1 && data.Continue == "" {
		return page{}, goTo(hitURL(data.Items[0]))
	}
	return page{look: "search", Title: "Search", Data: data, Topics: nil, Nav: "search"}, nil
}

package pages

import (
	"net/http"
	"net/url"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func (p *Pages) partitions(r *http.Request) (page, error) {
	list, err := listOf(r, p.answers.Partitions)
	if err != nil {
		return page{}, err
	}
	return page{
		look: "partitions", Title: "Partitions", Nav: "partitions", Data: list,
		Topics: []api.Topic{api.TopicPartitions},
	}, nil
}

// partitionData is one partition and a page of its members.
type partitionData struct {
	api.Partition
	List  list[api.Member]
	Kinds []choice
}

func (p *Pages) partition(r *http.Request) (page, error) {
	key, err := pkey.Parse(r.PathValue("pkey"))
	if err != nil {
		return page{}, badRequest(err)
	}
	data := partitionData{}
	if data.Partition, err = p.answers.Partition(key); err != nil {
		return page{}, err
	}
	data.List, err = listOf(r, func(q api.Query) (api.List[api.Member], error) { return p.answers.Members(key, q) })
	if err != nil {
		return page{}, err
	}
	data.Kinds = choices(r, api.QueryKind, "All", string(api.Ours), string(api.Unclaimed), string(api.Foreign))
	return page{
		look: "partition", Title: "Partition " + key.String(), Nav: "partitions", Data: data,
		Topics: []api.Topic{api.TopicPartitions},
	}, nil
}

// guidsData is a page of the ledger.
type guidsData struct {
	List   list[api.GUID]
	States []choice
}

func (p *Pages) guids(r *http.Request) (page, error) {
	rows, err := listOf(r, p.answers.GUIDs)
	if err != nil {
		return page{}, err
	}
	states := choices(r, api.QueryState, "All", string(api.Assigned), string(api.Leaving), string(api.Held))
	return page{
		look: "guids", Title: "GUIDs", Nav: "guids", Data: guidsData{rows, states},
		Topics: []api.Topic{api.TopicGUIDs},
	}, nil
}

func (p *Pages) guid(r *http.Request) (page, error) {
	g, err := guid.Parse(r.PathValue("guid"))
	if err != nil {
		return page{}, badRequest(err)
	}
	w, err := p.answers.Whois(api.Query{Text: g.String()})
	if err != nil {
		return page{}, err
	}
	if w.GUID == nil {
		return page{}, &api.Error{Code: http.StatusNotFound, Message: "GUID " + g.String() + " is not known"}
	}
	return page{
		look: "guid", Title: "GUID " + g.String(), Nav: "guids", Data: w,
		Topics: []api.Topic{api.TopicGUIDs, api.TopicPartitions, api.TopicJournal},
	}, nil
}

func badRequest(err error) error {
	return &api.Error{Code: http.StatusBadRequest, Message: err.Error()}
}

// mostRows is how many rows a page has at most: more are for programs, which have the API.
const mostRows = 250

// list is a page of something, and the way on.
type list[T any] struct {
	api.List[T]
	First string // the first page; "" is this one
	Next  string // "" is none
}

// listOf asks for the page that a request wants.
func listOf[T any](r *http.Request, ask func(api.Query) (api.List[T], error)) (list[T], error) {
	values := r.URL.Query()
	q, err := api.ParseQuery(values)
	if err != nil {
		return list[T]{}, badRequest(err)
	}
	q.Limit = min(q.Limit, mostRows)
	items, err := ask(q)
	if err != nil {
		return list[T]{}, err
	}
	out := list[T]{List: items}
	if q.Continue != "" {
		out.First = with(r.URL, api.QueryContinue, "")
	}
	if items.Continue != "" {
		out.Next = with(r.URL, api.QueryContinue, items.Continue)
	}
	return out, nil
}

// with is a page's URL with one parameter of its query set, or taken out for "".
func with(u *url.URL, name, value string) string {
	v := u.Query()
	if v.Del(name); value != "" {
		v.Set(name, value)
	}
	if len(v) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + v.Encode()
}

// choice is one of several lists that a page can show.
type choice struct {
	Word, URL string
	Chosen    bool
}

// choices are links to the values of one parameter, the first without it.
func choices(r *http.Request, name, all string, values ...string) []choice {
	chosen := r.URL.Query().Get(name)
	first := *r.URL
	first.RawQuery = ""
	if ns := r.URL.Query().Get(api.QueryNamespace); ns != "" {
		first.RawQuery = url.Values{api.QueryNamespace: {ns}}.Encode()
	}
	out := []choice{{Word: all, URL: with(&first, name, ""), Chosen: chosen == ""}}
	for _, v := range values {
		out = append(out, choice{Word: v, URL: with(&first, name, v), Chosen: chosen == v})
	}
	return out
}

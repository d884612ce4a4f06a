// Package pages is the console for people: what the controller that leads says of its
// fabric, as plain HTML that is made on the server. Nothing is changed through it, and
// nothing comes from anywhere else.
//
// Every page is whole without its script. With it, a page that is open stays true: on each
// tick of the API's watch the script asks for the page's main part again and puts in what
// changed.
package pages

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

// Prefix is where the pages begin. Whoever is to see them needs the verb get for it, for all
// below it, and for api.PathWatch.
const Prefix = "/ibfabric/console/"

// Answers is what the pages show: the JSON API's own answers, as Go values. An error that is
// an *api.Error is shown with its code; any other is a 500.
type Answers interface {
	Fabric
	Members
	Pods
}

// Fabric answers for the whole of it.
type Fabric interface {
	Overview() (api.Overview, error)
	Nodes(api.Query) (api.List[api.Node], error)
	Drift(api.Query) (api.List[api.Drift], error)
	Plan(api.Query) (api.List[api.Step], error)
	Journal(api.Query) (api.List[api.Entry], error)
}

// Members answers for partitions and GUIDs.
type Members interface {
	Partitions(api.Query) (api.List[api.Partition], error)
	Partition(pkey.PKey) (api.Partition, error)
	Members(pkey.PKey, api.Query) (api.List[api.Member], error)
	GUIDs(api.Query) (api.List[api.GUID], error)
	Whois(api.Query) (api.Whois, error)
	Search(api.Query) (api.List[api.Hit], error)
}

// Pods answers for pods.
type Pods interface {
	Pods(api.Query) (api.List[api.PodSummary], error)
	Pod(context.Context, types.NamespacedName) (api.Pod, error)
}

// Pages serves them.
type Pages struct {
	answers Answers
	now     func() time.Time
	mux     *http.ServeMux
	looks   map[string]*look
	assets  assets
}

// New makes the pages of some answers. Times are shown by the clock now.
func New(answers Answers, now func() time.Time) *Pages {
	p := &Pages{answers: answers, now: now, mux: http.NewServeMux(), assets: loadAssets()}
	p.looks = parseLooks(p.assets)
	p.mux.Handle("GET "+Prefix+"assets/{name}", p.assets)
	for path, show := range map[string]func(*http.Request) (page, error){
		"{$}":                    p.overview,
		"partitions":             p.partitions,
		"partitions/{pkey}":      p.partition,
		"pods":                   p.pods,
		"pods/{namespace}/{pod}": p.pod,
		"guids":                  p.guids,
		"guids/{guid}":           p.guid,
		"nodes":                  p.nodes,
		"nodes/{node}":           p.node,
		"drift":                  p.drift,
		"plan":                   p.plan,
		"journal":                p.journal,
		"search":                 p.search,
		"":                       nowhere,
	} {
		p.mux.Handle("GET "+Prefix+path, p.serve(show))
	}
	return p
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

func nowhere(*http.Request) (page, error) {
	return page{}, &api.Error{Code: http.StatusNotFound, Message: "there is no such page"}
}

package pages

import (
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// firstOf is how many waiting and refused pods stand above the list of all.
const firstOf = 20

// podsData is a page of pods. Without a filter, those that somebody may wonder about stand
// above it.
type podsData struct {
	List             list[api.PodSummary]
	Waiting, Refused *api.List[api.PodSummary]
	States           []choice
	State, Namespace string
}

func (p *Pages) pods(r *http.Request) (page, error) {
	all, err := listOf(r, p.answers.Pods)
	if err != nil {
		return page{}, err
	}
	data := podsData{
		List: all, State: r.URL.Query().Get(api.QueryState), Namespace: r.URL.Query().Get(api.QueryNamespace),
		States: choices(r, api.QueryState, "All", string(api.PodWaiting), string(api.PodRefused), string(api.PodConfigured), string(api.PodLeaving), string(api.PodIgnored)),
	}
	if data.State == "" && all.First == "" {
		if data.Waiting, err = p.podsIn(api.PodWaiting, data.Namespace); err != nil {
			return page{}, err
		}
		if data.Refused, err = p.podsIn(api.PodRefused, data.Namespace); err != nil {
			return page{}, err
		}
	}
	return page{look: "pods", Title: "Pods", Nav: "pods", Data: data, Topics: []api.Topic{api.TopicPods}}, nil
}

func (p *Pages) podsIn(s api.PodState, namespace string) (*api.List[api.PodSummary], error) {
	some, err := p.answers.Pods(api.Query{State: string(s), Namespace: namespace, Limit: firstOf})
	return &some, err
}

// podData is a pod and what was changed in UFM for it.
type podData struct {
	api.Pod
	Interfaces []ladder
	Journal    []api.Entry
}

func (p *Pages) pod(r *http.Request) (page, error) {
	name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}
	pod, err := p.answers.Pod(r.Context(), name)
	if err != nil {
		return page{}, err
	}
	data := podData{Pod: pod}
	for i := range pod.Attached {
		data.Interfaces = append(data.Interfaces, newLadder(&pod.Attached[i]))
	}
	// The others most often lack the same.
	if at := slices.IndexFunc(data.Interfaces, func(l ladder) bool { return l.Mark().Shape != good }); at >= 0 {
		data.Interfaces[at].Open = true
	}
	changes, err := p.answers.Journal(api.Query{Pod: api.PodName{Namespace: name.Namespace, Name: name.Name}, Limit: recent})
	if err != nil {
		return page{}, err
	}
	data.Journal = changes.Items
	return page{
		look: "pod", Title: "Pod " + name.String(), Nav: "pods", Data: data,
		Topics: []api.Topic{api.TopicPods, api.TopicPartitions, api.TopicJournal},
	}, nil
}

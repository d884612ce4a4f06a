package console

import (
	"net/http"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/pkey"
)

// Answers answers what the API is asked, as Go values; the console's pages render the
// same. Errors are *api.Error: 503 where this replica does not lead, 404 for what nobody
// knows, 400 for what nobody can read. It is safe for concurrent use.
type Answers struct{}

func notYet() error {
	return &api.Error{Code: http.StatusServiceUnavailable, Message: "this replica does not lead"}
}

// Overview is the fabric on one page.
func (a *Answers) Overview() (api.Overview, error) { return api.Overview{}, notYet() }

// Partitions are a page of partitions, by PKey.
func (a *Answers) Partitions(q api.Query) (api.List[api.Partition], error) {
	return api.List[api.Partition]{}, notYet()
}

// Partition is one partition.
func (a *Answers) Partition(p pkey.PKey) (api.Partition, error) { return api.Partition{}, notYet() }

// Members are a page of a partition's members, by GUID; q.Kind says which.
func (a *Answers) Members(p pkey.PKey, q api.Query) (api.List[api.Member], error) {
	return api.List[api.Member]{}, notYet()
}

// Pods are a page of pods, by namespace and name; q.State and q.Namespace say which.
func (a *Answers) Pods(q api.Query) (api.List[api.PodSummary], error) {
	return api.List[api.PodSummary]{}, notYet()
}

// Pod explains one pod.
func (a *Answers) Pod(name types.NamespacedName) (api.Pod, error) { return api.Pod{}, notYet() }

// GUIDs are a page of the ledger's rows, by GUID; q.State says which.
func (a *Answers) GUIDs(q api.Query) (api.List[api.GUID], error) {
	return api.List[api.GUID]{}, notYet()
}

// Whois says what is known of q.Text, a GUID or a PKey in any spelling.
func (a *Answers) Whois(q api.Query) (api.Whois, error) { return api.Whois{}, notYet() }

// Search finds q.Text: a GUID, a PKey, or how a pod's or a node's name begins.
func (a *Answers) Search(q api.Query) (api.List[api.Hit], error) {
	return api.List[api.Hit]{}, notYet()
}

// Nodes are a page of nodes, by name.
func (a *Answers) Nodes(q api.Query) (api.List[api.Node], error) {
	return api.List[api.Node]{}, notYet()
}

// Drift is a page of what differs between UFM and the ledger.
func (a *Answers) Drift(q api.Query) (api.List[api.Drift], error) {
	return api.List[api.Drift]{}, notYet()
}

// Plan is a page of what is due to be changed in UFM.
func (a *Answers) Plan(q api.Query) (api.List[api.Step], error) {
	return api.List[api.Step]{}, notYet()
}

// Journal is a page of the journal, newest first; q.PKey, q.GUID and q.Pod say of what.
func (a *Answers) Journal(q api.Query) (api.List[api.Entry], error) {
	return api.List[api.Entry]{}, notYet()
}

package console

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/journal"
	"github.com/ibfabric/ibfabric/controller/ledger"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Controller is what the console looks at: the fabric of members, and the pods. None of it
// asks UFM or the API server, but for the two verbs.
type Controller interface {
	Members
	Pods
	Verbs
	Status() controller.Status
	Config() controller.Config
	Calls() []controller.Call
}

// Members is the ledger and the view of UFM.
type Members interface {
	Rows() *ledger.Reader
	PKeys() []pkey.PKey
	InRange(guid.GUID) bool
	Partitions
}

// Partitions is the view of UFM.
type Partitions interface {
	Showing(pkey.PKey) controller.Showing
	Shown(pkey.PKey, []guid.GUID) []controller.Shown
	ShownIn(pkey.PKey) []guid.GUID
	StandsIn(guid.GUID) []pkey.PKey
	Listed(pkey.PKey) bool
	Facts(pkey.PKey) controller.PartitionFacts
}

// Pods is what is known of pods, their networks and their nodes.
type Pods interface {
	Pod(types.NamespacedName) *corev1.Pod
	IsConfigured(*corev1.Pod) bool
	GrantedTo(ctx context.Context, namespace string, network types.NamespacedName) ([]attach.Claim, bool, error)
	Stories
	Places
}

// Stories is how far pods have come.
type Stories interface {
	WentOn(types.UID) bool
	Waits() []controller.Wait
	Reasons() []controller.Reason
	ReasonOf(types.NamespacedName, types.UID) (controller.Reason, bool)
	Due(pkey.PKey) pkey.Changes
}

// Places is the nodes.
type Places interface {
	Nodes(context.Context) ([]corev1.Node, error)
	Tables() (uses []budget.Use, limit int)
	HoldOf(ledger.Row, []corev1.Node) (freeAt time.Time, waits string)
}

// Verbs is what a person can have done.
type Verbs interface {
	MayReclaim() error
	IsUnclaimed(controller.Member) bool
	Reclaim(context.Context, pkey.PKey, []guid.GUID, string) (map[guid.GUID]error, error)
	MayVouch(context.Context, guid.GUID) (time.Time, error)
	Vouch(context.Context, []guid.GUID, string) (map[guid.GUID]time.Time, map[guid.GUID]error)
}

// Journal is what was changed in UFM.
type Journal interface {
	Before(id uint64, most int, pass func(*journal.Entry) bool) []*journal.Entry
	Count() (entries int, oldest time.Time, unwritten int)
}

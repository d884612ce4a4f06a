// Package api is the console's JSON API: what the controller that leads says of its
// fabric, and the two things that a person can tell it to do. The console's pages, the
// command ibfabric and other programs read the same.
//
// All of it is served by HTTPS under Prefix and checked against Kubernetes: who asks must
// be known to the cluster (bearer token or client certificate) and have the right to the
// path as a nonresource URL, with the verb get, or post for Reclaim and Release.
//
// Only the replica that leads knows the fabric. Another one answers 503 with an Error
// that names the leader.
//
// Fields that are not known, or do not apply, are left out. Times are RFC 3339 and UTC; a
// GUID stands as 02:00:00:00:00:00:00:07, a PKey as 0x1000.
package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Prefix is where the API begins. It must not be /api or /apis, which every user who is
// logged in may read.
const Prefix = "/ibfabric/v1"

// The paths, as http.ServeMux takes them. What a path ends in, a query asks for, and what
// comes back:
const (
	PathOverview   = Prefix + "/overview"                  // -> Overview
	PathPartitions = Prefix + "/partitions"                // ?limit=&continue= -> List[Partition], by PKey
	PathPartition  = Prefix + "/partitions/{pkey}"         // -> Partition
	PathMembers    = Prefix + "/partitions/{pkey}/members" // ?limit=&continue=&kind= -> List[Member], by GUID
	PathPods       = Prefix + "/pods"                      // ?limit=&continue=&state=&namespace= -> List[PodSummary], by name
	PathPod        = Prefix + "/pods/{namespace}/{name}"   // -> Pod
	PathGUIDs      = Prefix + "/guids"                     // ?limit=&continue=&state= -> List[GUID], by GUID
	PathWhois      = Prefix + "/whois"                     // ?q= a GUID or PKey in any spelling -> Whois
	PathSearch     = Prefix + "/search"                    // ?q=&limit= -> List[Hit], best first
	PathNodes      = Prefix + "/nodes"                     // ?limit=&continue= -> List[Node], by name
	PathDrift      = Prefix + "/drift"                     // ?limit=&continue= -> List[Drift], by PKey and GUID
	PathPlan       = Prefix + "/plan"                      // ?limit=&continue= -> List[Step], by PKey
	PathJournal    = Prefix + "/journal"                   // ?limit=&continue=&pkey=&guid=&pod=namespace/name -> List[Entry], newest first
	PathWatch      = Prefix + "/watch"                     // -> text/event-stream of Tick
	PathReclaim    = Prefix + "/reclaim"                   // POST ReclaimRequest -> ReclaimAnswer
	PathRelease    = Prefix + "/release"                   // POST ReleaseRequest -> ReleaseAnswer

	// PathMetrics is Prometheus', outside of Prefix as everywhere. Every replica serves it.
	PathMetrics = "/metrics"
)

// The names of query parameters.
const (
	QueryLimit     = "limit"
	QueryContinue  = "continue"
	QueryText      = "q"         // of PathWhois and PathSearch
	QueryKind      = "kind"      // of PathMembers: a MemberKind
	QueryState     = "state"     // of PathPods: a PodState; of PathGUIDs: a RowState
	QueryNamespace = "namespace" // of PathPods
	QueryPKey      = "pkey"      // of PathJournal
	QueryGUID      = "guid"      // of PathJournal
	QueryPod       = "pod"       // of PathJournal: namespace/name
)

// The sizes of a page: without a limit, and the most that is given whatever is asked for.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// List is a page of something. The next page is the same request with ?continue=Continue;
// "" says that this is the last. What comes and goes between two pages is neither shown
// twice nor does it push others out: a page begins behind the last item of the one before.
type List[T any] struct {
	Items    []T    `json:"items"`
	Continue string `json:"continue,omitempty"`
	// Total is how many there are in all pages, as of this page; with a filter, how many
	// pass it. -1 is not counted.
	Total int       `json:"total"`
	AsOf  time.Time `json:"asOf"`
}

// Error is the body of every answer that is none of the above.
type Error struct {
	Code    int    `json:"code"` // the HTTP status again
	Message string `json:"message"`
	// Permission is what a 403 misses.
	Permission *Permission `json:"permission,omitempty"`
	// Leader is who has the answer, of a 503; "" where nobody leads.
	Leader string `json:"leader,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Permission is a rule of a ClusterRole with nonResourceURLs.
type Permission struct {
	User string `json:"user"`
	Verb string `json:"verb"` // get or post
	Path string `json:"path"`
}

// Duration is a time span as text: 1.25s, 3m0s.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	v, err := time.ParseDuration(text)
	*d = Duration(v)
	return err
}

// Topic names what a page shows.
type Topic string

// The topics.
const (
	TopicOverview   Topic = "overview"
	TopicPartitions Topic = "partitions" // members too
	TopicPods       Topic = "pods"
	TopicGUIDs      Topic = "guids"
	TopicNodes      Topic = "nodes"
	TopicDrift      Topic = "drift"
	TopicPlan       Topic = "plan"
	TopicJournal    Topic = "journal"
)

// Tick says that something changed. PathWatch sends each as an event named "tick" whose
// data is its JSON, at most one a second, and the first at once with all topics. What comes
// of a change may be listed a little later: its topics come once more, with the same version,
// when it must be. While nothing changes it sends comments to keep the connection up, and
// nothing else.
type Tick struct {
	// Version counts up as long as one replica leads. A smaller one is a new leader's.
	Version uint64  `json:"version"`
	Topics  []Topic `json:"topics"`
}

// TickEvent is the name of the server-sent event.
const TickEvent = "tick"

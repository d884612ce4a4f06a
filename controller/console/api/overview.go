package api

import (
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// Overview is the fabric on one page.
type Overview struct {
	Fabric    string   `json:"fabric"`
	Namespace string   `json:"namespace"` // of lease, ledger and journal
	Version   string   `json:"version"`   // of the controller
	Policy    string   `json:"policy"`    // sync, add-only or dry-run
	DryRun    bool     `json:"dryRun"`    // nothing is changed, and all that is said to be coming is a plan
	GUIDs     []string `json:"guids"`     // the ranges, as first..last
	PKeys     string   `json:"pkeys"`     // the scope
	Hold      Duration `json:"hold"`      // before a freed GUID is given out again
	Leader    Leader   `json:"leader"`
	UFM       UFM      `json:"ufm"`
	Members   Counts   `json:"members"`
	Pool      Pool     `json:"pool"`
	// Partitions is how many partitions there are, in the ledger or in UFM.
	Partitions int `json:"partitions"`
	// InSync says that UFM was read, and is as the cluster wants it.
	InSync bool `json:"inSync"`
	// Drift is by how many members UFM differs from the ledger, beside what is on its way in
	// or out. Found and repaired count since this leader leads.
	Drift         int `json:"drift"`
	DriftFound    int `json:"driftFound"`
	DriftRepaired int `json:"driftRepaired"`
	// Waiting pods have not all that they asked for; Refused ones will not get it as they are
	// written.
	Waiting int         `json:"waiting"`
	Refused int         `json:"refused"`
	Oldest  *PodSummary `json:"oldest,omitempty"` // the pod that waits longest, and why
	// StuckHolds are held GUIDs whose hold is over and whose node says nothing: they wait for
	// the node, or for somebody to release them.
	StuckHolds int         `json:"stuckHolds"`
	Nodes      NodeTotals  `json:"nodes"`
	Journal    JournalInfo `json:"journal"`
	// Notices are what a person should know or do, each with the mend.
	Notices []string  `json:"notices,omitempty"`
	AsOf    time.Time `json:"asOf"`
}

// Leader is the replica that leads.
type Leader struct {
	Identity string    `json:"identity"`
	Since    time.Time `json:"since"`
	// Former is who led before and may still have a write under way, until Settled.
	Former  string    `json:"former,omitempty"`
	Settled time.Time `json:"settled,omitzero"`
	// Adopted says that ledger, pods and UFM were read. Before, most of the answers are empty.
	Adopted bool `json:"adopted"`
	// Blocked is why this leader does not begin: ib-kubernetes works in the cluster.
	Blocked string `json:"blocked,omitempty"`
}

// UFM is what is known of the subnet manager.
type UFM struct {
	Target string `json:"target"` // as configured: https://ufm1,ufm2, or noop
	// Shows says that it can be read. One that cannot is believed what it answers.
	Shows   bool     `json:"shows"`
	Address string   `json:"address,omitempty"` // that answered last
	Reads   Health   `json:"reads"`
	Writes  Health   `json:"writes"`
	Full    FullRead `json:"fullRead"`
	// Calls are the times of the last calls, by what was asked.
	Calls []Call `json:"calls,omitempty"`
}

// Health says whether something works, and since when it does not.
type Health struct {
	OK    bool      `json:"ok"`
	Since time.Time `json:"since,omitzero"` // of the outage
	Error string    `json:"error,omitempty"`
}

// FullRead is the last full read of UFM.
type FullRead struct {
	At    time.Time `json:"at,omitzero"`
	Took  Duration  `json:"took,omitempty"`
	From  string    `json:"from,omitempty"`
	Every Duration  `json:"every"` // at least so often
	// Unread are the partitions whose members it could not tell.
	Unread []pkey.PKey `json:"unread,omitempty"`
}

// Call is how one kind of call to UFM went since this process began.
type Call struct {
	Op     string    `json:"op"` // add, remove, read, read-all, qos, set-qos, last-updated
	Count  int       `json:"count"`
	Failed int       `json:"failed"`
	Mean   Duration  `json:"mean"`
	Max    Duration  `json:"max"`
	Last   Duration  `json:"last"`
	LastAt time.Time `json:"lastAt,omitzero"`
}

// Counts are memberships: a GUID in two partitions counts twice.
type Counts struct {
	Desired   int `json:"desired"`   // of live pods, by the ledger
	Actual    int `json:"actual"`    // of those, the ones that UFM has as they should be
	Pending   int `json:"pending"`   // the others
	Leaving   int `json:"leaving"`   // of ended pods, on their way out
	Held      int `json:"held"`      // seen out; the GUID is not given to anybody yet
	Unclaimed int `json:"unclaimed"` // in UFM, of our GUID range, and no row explains them
	Foreign   int `json:"foreign"`   // in UFM, and not of our range
}

// Pool is how the GUIDs of the ranges are used. Texts, since a range can have more than
// JavaScript counts.
type Pool struct {
	Size  uint64 `json:"size,string"`
	Owned uint64 `json:"owned,string"`
	Held  uint64 `json:"held,string"` // unclaimed ones too
	Free  uint64 `json:"free,string"`
}

// NodeTotals sums up the nodes' PKey tables.
type NodeTotals struct {
	Limit   int    `json:"limit"` // entries of a table; 0: not looked at
	Count   int    `json:"count"` // nodes with pods of this fabric
	Over    int    `json:"over"`  // nodes that need more than there is
	Fullest []Node `json:"fullest,omitempty"`
}

// Node is the PKey table of one node's HCA.
type Node struct {
	Name string `json:"name"`
	// Needed is how many entries its pods need, the default PKey's among them, of Limit.
	Needed int         `json:"needed"`
	Limit  int         `json:"limit"`
	Pods   int         `json:"pods"`
	PKeys  []pkey.PKey `json:"pkeys"`
	// Known says that the cluster has the node; Ready as its kubelet says, since when.
	Known bool      `json:"known"`
	Ready bool      `json:"ready"`
	Since time.Time `json:"since,omitzero"`
	// Held are GUIDs that wait for this node before anybody else gets them.
	Held int `json:"held"`
}

// JournalInfo says how much of the journal there is.
type JournalInfo struct {
	Entries   int       `json:"entries"`
	Oldest    time.Time `json:"oldest,omitzero"`
	Unwritten int       `json:"unwritten"` // not in the API server yet
}

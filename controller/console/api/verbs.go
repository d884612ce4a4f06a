package api

import (
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Verb is what was done to UFM, or to the ledger by a person's word.
type Verb string

// The verbs of the journal.
const (
	VerbAdd     Verb = "add"
	VerbRemove  Verb = "remove"
	VerbQualify Verb = "qualify" // quality of service was set
	VerbReclaim Verb = "reclaim" // a person had unclaimed members removed
	VerbRelease Verb = "release" // a person vouched for a node that is gone
)

// Outcome is how a change went.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"    // UFM answered
	Refused Outcome = "refused" // UFM will not have it
	Unknown Outcome = "unknown" // no answer came: it may have happened, and is looked at again
)

// Entry is one change in the journal.
type Entry struct {
	// ID grows from entry to entry, across leaders.
	ID         uint64      `json:"id"`
	At         time.Time   `json:"at"`
	Verb       Verb        `json:"verb"`
	PKey       pkey.PKey   `json:"pkey,omitzero"`
	Membership string      `json:"membership,omitempty"`
	Count      int         `json:"count"` // of GUIDs
	GUIDs      []guid.GUID `json:"guids,omitempty"`
	Pods       []PodName   `json:"pods,omitempty"`
	// More counts the GUIDs that are not listed.
	More    int      `json:"more,omitempty"`
	From    string   `json:"from,omitempty"` // the UFM that answered
	Took    Duration `json:"took,omitempty"`
	Outcome Outcome  `json:"outcome"`
	Error   string   `json:"error,omitempty"`
	Why     string   `json:"why"`
	Times   int      `json:"times,omitempty"` // the same failed so often in a row
	Leader  string   `json:"leader"`
	User    string   `json:"user,omitempty"` // who asked for it, of reclaim and release
}

// ReclaimRequest names unclaimed members to be removed from UFM: exactly these pairs.
// Nobody but the caller knows that they belong to nobody: another cluster with the same
// GUID range shows in the same way.
type ReclaimRequest struct {
	Members []MemberName `json:"members"` // 1 to MaxReclaim
	// DryRun checks and removes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// MaxReclaim is how many members one request takes.
const MaxReclaim = 1000

// MemberName is a GUID in a partition.
type MemberName struct {
	PKey pkey.PKey `json:"pkey"`
	GUID guid.GUID `json:"guid"`
}

// ReclaimAnswer has one result for each member, in the order of the request.
type ReclaimAnswer struct {
	Results []ReclaimResult `json:"results"`
}

// ReclaimResult is what became of one member.
type ReclaimResult struct {
	MemberName
	// Removed says that UFM was seen without it; in a dry run, that it would be removed.
	Removed bool   `json:"removed"`
	Error   string `json:"error,omitempty"`
}

// ReleaseRequest names held GUIDs whose node is gone for good: that no container runs with
// them any more is the caller's word. The hold time passes all the same.
type ReleaseRequest struct {
	GUIDs  []guid.GUID `json:"guids"` // 1 to MaxReclaim
	DryRun bool        `json:"dryRun,omitempty"`
}

// ReleaseAnswer has one result for each GUID, in the order of the request.
type ReleaseAnswer struct {
	Results []ReleaseResult `json:"results"`
}

// ReleaseResult is what became of one GUID.
type ReleaseResult struct {
	GUID     guid.GUID `json:"guid"`
	Released bool      `json:"released"`
	FreeAt   time.Time `json:"freeAt,omitzero"` // when the hold is over, by the next full read
	Error    string    `json:"error,omitempty"`
}

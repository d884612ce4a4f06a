package api

import (
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Partition is one PKey.
type Partition struct {
	PKey pkey.PKey `json:"pkey"`
	// Name is that of the Partition object, if there is one; InUFM whether UFM lists it.
	Name    string `json:"name,omitempty"`
	InUFM   bool   `json:"inUFM"`
	InScope bool   `json:"inScope"` // this controller may change it
	Members Counts `json:"members"`
	Drift   int    `json:"drift"`
	// MaxMembers is the bound of the Partition object; 0 is none.
	MaxMembers int `json:"maxMembers,omitempty"`
	// Known says that UFM's word of it can be relied upon now; else Unknown says why not.
	Known   bool   `json:"known"`
	Unknown string `json:"unknown,omitempty"`
	From    string `json:"from,omitempty"` // the address that showed it
	// Waiting is how many pods wait for it, the oldest since Since.
	Waiting int       `json:"waiting"`
	Since   time.Time `json:"since,omitzero"`
	// QoS is what the Partition object asks for; QoSError why UFM has not got it.
	QoS      *QoS   `json:"qos,omitempty"`
	QoSError string `json:"qosError,omitempty"`
}

// QoS is the quality of service of a partition, as UFM counts it.
type QoS struct {
	MTULimit     int     `json:"mtuLimit,omitempty"`
	RateLimit    float64 `json:"rateLimit,omitempty"` // Gb/s
	ServiceLevel int     `json:"serviceLevel"`
}

// MemberKind says whose a member is.
type MemberKind string

// The kinds of members.
const (
	Ours      MemberKind = "ours"      // a row of the ledger explains it, in UFM or not
	Unclaimed MemberKind = "unclaimed" // in UFM, of our GUID range, and no row explains it
	Foreign   MemberKind = "foreign"   // in UFM, and not of our range: left alone
)

// Member is a GUID in one partition.
type Member struct {
	PKey pkey.PKey  `json:"pkey"`
	GUID guid.GUID  `json:"guid"`
	Kind MemberKind `json:"kind"`
	// Wanted is how the ledger wants it: full, "full, index 0", limited; "" is not at all.
	Wanted string `json:"wanted,omitempty"`
	// Shown is how UFM has it; "" is not at all, as far as known.
	Shown string `json:"shown,omitempty"`
	// State is that of the row of the GUID, since Since; of one of ours.
	State RowState  `json:"state,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Pod and Interface are the owner's.
	Pod       *PodName `json:"pod,omitempty"`
	Interface string   `json:"interface,omitempty"`
	Node      string   `json:"node,omitempty"`
	// Missing is what must happen yet, in words; "" is nothing.
	Missing string `json:"missing,omitempty"`
}

// PodName names a pod.
type PodName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
}

func (p PodName) String() string { return p.Namespace + "/" + p.Name }

// RowState is where a GUID is on its way through the ledger.
type RowState string

// The states of a row.
const (
	Assigned RowState = "assigned" // its pod lives
	Leaving  RowState = "leaving"  // its pod ended, and it is on its way out of UFM
	Held     RowState = "held"     // UFM was seen without it; nobody gets it yet
)

// DriftKind says in what way UFM differs from the ledger.
type DriftKind string

// The kinds of drift.
const (
	DriftMissing   DriftKind = "missing"   // was in, and is not any more: it is put in again
	DriftMode      DriftKind = "mode"      // is in, with another membership or index: it is set again
	DriftLeftover  DriftKind = "leftover"  // must be out, and is in: it is taken out
	DriftUnclaimed DriftKind = "unclaimed" // in, and no row explains it: only Reclaim takes it out
	DriftUnread    DriftKind = "unread"    // a partition whose members UFM does not tell
)

// Drift is one difference.
type Drift struct {
	Kind DriftKind `json:"kind"`
	PKey pkey.PKey `json:"pkey"`
	GUID guid.GUID `json:"guid,omitzero"`
	Pod  *PodName  `json:"pod,omitempty"`
	What string    `json:"what"` // in words
	Mend string    `json:"mend"` // what happens by itself, or what a person can do
}

// Step is a change of UFM that is due now. In dry-run mode none is done.
type Step struct {
	Verb       Verb        `json:"verb"` // add, remove or qualify
	PKey       pkey.PKey   `json:"pkey"`
	Membership string      `json:"membership,omitempty"`
	Count      int         `json:"count"`
	GUIDs      []guid.GUID `json:"guids,omitempty"` // the first MaxListed of them
	Pods       []PodName   `json:"pods,omitempty"`  // the first MaxListed of them
	Why        string      `json:"why"`
	// Waits is what it waits for: UFM, a turn, the policy, the former leader; "" is nothing.
	Waits string `json:"waits,omitempty"`
}

// MaxListed is how many GUIDs and pods a Step and an Entry name before the rest is only
// counted.
const MaxListed = 100

package api

import (
	"time"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// PodState is how far a pod has come with this fabric.
type PodState string

// The states of a pod.
const (
	PodWaiting    PodState = "waiting"    // it gets on by itself when what it waits for is there
	PodRefused    PodState = "refused"    // it gets nothing as it is written
	PodConfigured PodState = "configured" // it has all that it asked for, and may go on
	PodIgnored    PodState = "ignored"    // it is left alone
	PodLeaving    PodState = "leaving"    // it ended; its GUIDs are leaving UFM, or are held
)

// PodSummary is a pod in a list.
type PodSummary struct {
	PodName
	State PodState `json:"state"`
	// Since is when it came into its state, as far as known.
	Since time.Time `json:"since,omitzero"`
	// Why says what it waits for, or why it is refused or left alone.
	Why        string      `json:"why,omitempty"`
	Node       string      `json:"node,omitempty"`
	Interfaces int         `json:"interfaces"`
	GUIDs      []guid.GUID `json:"guids,omitempty"`
	PKeys      []pkey.PKey `json:"pkeys,omitempty"`
}

// Pod is all that is known of a pod: what it wants, what it has, and what is missing.
type Pod struct {
	PodSummary
	Created  time.Time `json:"created,omitzero"`
	Deleting bool      `json:"deleting,omitempty"`
	// Exists says that the cluster has the pod. One that ended may still have GUIDs.
	Exists bool   `json:"exists"`
	Phase  string `json:"phase,omitempty"`
	Gate   Gate   `json:"gate"`
	// Annotation is the networks annotation as it stands.
	Annotation string         `json:"annotation,omitempty"`
	Attached   []PodInterface `json:"attached"`
	// Missing is what must happen yet before the pod can go on, in words, in order.
	Missing []string `json:"missing,omitempty"`
	// Timeline is what is known to have happened, oldest first.
	Timeline []Moment `json:"timeline"`
}

// Gate is the scheduling gate that keeps a pod from its node until its place is ready.
type Gate struct {
	Name   string   `json:"name"`
	Closed bool     `json:"closed"`           // the pod waits at it
	Others []string `json:"others,omitempty"` // gates of others that stand
}

// PodInterface is one interface of a pod on this fabric.
type PodInterface struct {
	Interface string `json:"interface"`
	Network   string `json:"network"` // namespace/name of its NAD
	// NetworkError is why the network cannot be used now.
	NetworkError string `json:"networkError,omitempty"`
	// Wanted are the partitions that a pod that came now would join; Granted says that its
	// namespace may. What the interface has is its row's.
	Wanted  []Claim `json:"wanted,omitempty"`
	Granted bool    `json:"granted"`
	Grant   string  `json:"grant,omitempty"` // by what, or why not
	// GUID is the one that it has.
	GUID   guid.GUID   `json:"guid,omitzero"`
	Ledger *LedgerRow  `json:"ledger,omitempty"`
	Says   *Annotation `json:"says,omitempty"`
	UFM    []Standing  `json:"ufm,omitempty"`
	VF     *VF         `json:"vf,omitempty"`
	// Missing is what must happen yet, in words; "" is nothing.
	Missing string `json:"missing,omitempty"`
}

// Claim is a partition that an interface joins, and how.
type Claim struct {
	PKey       pkey.PKey `json:"pkey"`
	Partition  string    `json:"partition,omitempty"` // the Partition object that the network names
	Membership string    `json:"membership"`
	Index0     bool      `json:"index0"`
	IPoIB      bool      `json:"ipoib"`
}

// LedgerRow is the row of a GUID.
type LedgerRow struct {
	State  RowState  `json:"state"`
	Since  time.Time `json:"since"`  // in State; of a held one that this leader found so, since then
	Stored bool      `json:"stored"` // in the API server; UFM is told only then
	Claims []Claim   `json:"claims,omitempty"`
	Node   string    `json:"node,omitempty"` // where its pod ran; "?" nobody knows
	BootID string    `json:"bootID,omitempty"`
	// FreeAt is when a held GUID becomes free at the earliest; Waits what else that waits for.
	FreeAt time.Time `json:"freeAt,omitzero"`
	Waits  string    `json:"waits,omitempty"`
}

// Annotation is what a pod's annotation says of an interface.
type Annotation struct {
	Configured bool      `json:"configured"`
	GUID       guid.GUID `json:"guid,omitzero"`
	PKeys      string    `json:"pkeys,omitempty"`
	Agrees     bool      `json:"agrees"` // with the ledger
}

// Standing is how a GUID stands in one partition of UFM.
type Standing struct {
	PKey   pkey.PKey `json:"pkey"`
	Wanted string    `json:"wanted,omitempty"`
	Shown  string    `json:"shown,omitempty"` // "" is not at all, as far as known
	Known  bool      `json:"known"`           // UFM's word of this partition can be relied upon now
	Since  time.Time `json:"since,omitzero"`  // when UFM took it, if the journal has it
	From   string    `json:"from,omitempty"`
}

// VF is what Multus reported of the interface, as far as it did.
type VF struct {
	Node      string    `json:"node,omitempty"`
	Interface string    `json:"interface,omitempty"`
	PCI       string    `json:"pci,omitempty"`
	RDMA      string    `json:"rdma,omitempty"`
	GUID      guid.GUID `json:"guid,omitzero"` // of the IPoIB hardware address
	Agrees    bool      `json:"agrees"`        // GUID is the one that it should be, or is not shown
}

// Moment is something that happened.
type Moment struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"` // an event of the log's catalogue, or of this API: pod.created
	What  string    `json:"what"`  // in words
}

// GUID is a row of the ledger.
type GUID struct {
	GUID guid.GUID `json:"guid"`
	LedgerRow
	Pod       PodName    `json:"pod"`
	Interface string     `json:"interface"`
	Network   string     `json:"network,omitempty"`
	UFM       []Standing `json:"ufm,omitempty"`
}

// Whois says what is known of a GUID or a PKey.
type Whois struct {
	Query string `json:"query"`
	// Answer is that in a few sentences.
	Answer []string `json:"answer"`
	// One of the two is set.
	GUID *WhoisGUID `json:"guid,omitempty"`
	PKey *Partition `json:"pkey,omitempty"`
	// Journal has the last changes of it, newest first.
	Journal []Entry `json:"journal,omitempty"`
}

// WhoisGUID is what is known of a GUID.
type WhoisGUID struct {
	GUID  guid.GUID  `json:"guid"`
	Kind  MemberKind `json:"kind,omitempty"` // "" is unknown to ledger and UFM
	Range bool       `json:"inRange"`        // of this controller's
	Row   *GUID      `json:"row,omitempty"`
	UFM   []Standing `json:"ufm,omitempty"` // everywhere that UFM shows it
}

// HitKind says what was found.
type HitKind string

// The kinds of hits.
const (
	HitGUID HitKind = "guid"
	HitPKey HitKind = "pkey"
	HitPod  HitKind = "pod"
	HitNode HitKind = "node"
)

// Hit is something that a search found.
type Hit struct {
	Kind  HitKind   `json:"kind"`
	Name  string    `json:"name"` // as the path of its page takes it: a GUID, a PKey, namespace/name, a node
	About string    `json:"about,omitempty"`
	PKey  pkey.PKey `json:"pkey,omitzero"`
	GUID  guid.GUID `json:"guid,omitzero"`
	Pod   *PodName  `json:"pod,omitempty"`
}

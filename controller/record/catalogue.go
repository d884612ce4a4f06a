// Package record is what the controller says of itself: the closed set of its events,
// and the Recorder that writes them to the log and, where somebody must hear of it, as
// a Kubernetes Event.
//
// `kubectl logs` of the controller is a product surface. Every line is one Event of the
// Catalogue with the fields of Fields in one order, so that a pod's life, a GUID's or a
// PKey's is one grep.
package record

// Event names something that happened. Its text is the log line's "event" field.
type Event string

// The events. What each means stands in the Catalogue.
const (
	ControllerStarted Event = "controller.started"
	LeaderElected     Event = "leader.elected"
	LeaderAdopted     Event = "leader.adopted"
	LeaderStopped     Event = "leader.stopped"
	IncumbentFound    Event = "incumbent.found"
	NamesakeFound     Event = "namesake.found"

	PodAssigned   Event = "pod.assigned"
	PodConfigured Event = "pod.configured"
	PodWaiting    Event = "pod.waiting"
	PodRefused    Event = "pod.refused"
	PodIgnored    Event = "pod.ignored"
	PodUnmarked   Event = "pod.unmarked"
	PodKeeps      Event = "pod.keeps"
	PodLeft       Event = "pod.left"
	NodeCrowded   Event = "node.crowded"

	GUIDHeld     Event = "guid.held"
	GUIDFreed    Event = "guid.freed"
	GUIDReleased Event = "guid.released"
	GUIDConflict Event = "guid.conflict"

	UFMAdded       Event = "ufm.added"
	UFMRemoved     Event = "ufm.removed"
	UFMQualified   Event = "ufm.qualified"
	UFMReclaimed   Event = "ufm.reclaimed"
	UFMRejected    Event = "ufm.rejected"
	UFMUnavailable Event = "ufm.unavailable"
	UFMRecovered   Event = "ufm.recovered"

	PlanAdd    Event = "plan.add"
	PlanRemove Event = "plan.remove"

	NetworkMade     Event = "network.made"
	NetworkChanged  Event = "network.changed"
	NetworkDeleted  Event = "network.deleted"
	NetworkInvalid  Event = "network.invalid"
	ConfigRefused   Event = "config.refused"
	ConfigWarned    Event = "config.warned"
	SpiderpoolFound Event = "spiderpool.found"
	SpiderpoolGone  Event = "spiderpool.gone"

	ClaimReady    Event = "claim.ready"
	ClaimRefused  Event = "claim.refused"
	ClaimFollowed Event = "claim.followed"
	ClaimGone     Event = "claim.gone"

	CheckFailed Event = "check.failed"
	CheckPassed Event = "check.passed"

	PartitionJudged  Event = "partition.judged"
	DriftFound       Event = "drift.found"
	MembersUnclaimed Event = "members.unclaimed"
	LedgerSpoilt     Event = "ledger.spoilt"
	WorkFailed       Event = "work.failed"
	Summary          Event = "summary"
)

// Level is how loud an event is.
type Level int8

// The levels: Debug is why, Info a change of state, Warn something for a person to do.
const (
	Debug Level = iota
	Info
	Warn
)

// Entry describes an event. Reason is that of the Kubernetes Event that goes with it
// when it is about a pod; events without one are only logged.
type Entry struct {
	Event  Event
	Level  Level
	Reason string
	Means  string
}

// Catalogue is the closed set. Logs, Events and their documentation come from it.
func Catalogue() []Entry {
	return []Entry{
		{ControllerStarted, Info, "", "the process runs; detail names its settings"},
		{LeaderElected, Info, "", "this replica leads from here on"},
		{LeaderAdopted, Info, "", "ledger, live pods and UFM were read; count rows are known and allocation begins"},
		{LeaderStopped, Info, "", "this replica no longer leads"},
		{IncumbentFound, Warn, "", "ib-kubernetes works in this cluster, and nothing is changed beside it; err says where and how to stop it, detail what this replica does"},
		{NamesakeFound, Info, "", "something is called like ib-kubernetes or a part of Spiderpool and cannot be it, for its account has not the rights of that: nothing is changed for its sake; detail names both. Said of a few at a time"},

		{PodAssigned, Debug, "", "the pod's interfaces have their GUIDs; UFM has not been told"},
		{PodConfigured, Info, "", "UFM holds every membership of the pod and its annotation says so"},
		{PodWaiting, Info, "FabricWaiting", "the pod cannot be served yet; err says why, and it is tried again by itself"},
		{PodRefused, Warn, "FabricRefused", "the pod cannot be served as it is written; err says what to change"},
		{PodIgnored, Info, "FabricIgnored", "the pod names an InfiniBand network and is left alone; detail says why"},
		{PodUnmarked, Warn, "FabricUnmarked", "the pod says itself that it is configured, which only the controller knows: the word is taken back, and the pod served as any other"},
		{PodKeeps, Warn, "FabricNetworkChanged", "a network was edited or deleted under a live pod, which keeps what it has"},
		{PodLeft, Info, "", "the pod is gone or finished, or was edited before it went on and names these interfaces no longer; its GUIDs are leaving their partitions"},

		{NodeCrowded, Warn, "FabricNodeCrowded", "the pod came to a node whose HCA has no room for all its pods' PKeys; detail says how many too many"},

		{GUIDHeld, Info, "", "UFM was seen without the pod's GUIDs; they are held before anybody else gets them"},
		{GUIDFreed, Debug, "", "the hold is over; the GUID can be allocated again"},
		{GUIDReleased, Info, "", "a person vouched that the node of held GUIDs is gone for good; they are freed when their hold is over; detail says who"},
		{GUIDConflict, Warn, "FabricConflict", "two claims on one GUID; the pod named here does not have it"},

		{UFMAdded, Info, "", "UFM took count GUIDs into the partition"},
		{UFMRemoved, Info, "", "UFM let count GUIDs out of the partition and was seen without them"},
		{UFMQualified, Info, "", "UFM took the partition's mtu, rate limit and service level; detail has them in its words"},
		{UFMReclaimed, Info, "", "UFM let count unclaimed GUIDs out of the partition, as a person asked; detail says who"},
		{UFMRejected, Warn, "FabricRejected", "UFM refuses this member; err has its words"},
		{UFMUnavailable, Warn, "", "UFM does not answer; running pods keep what they have, work waits"},
		{UFMRecovered, Info, "", "UFM answers again"},

		{PlanAdd, Info, "", "dry run: count GUIDs would be added to the partition"},
		{PlanRemove, Info, "", "dry run or add-only: count GUIDs would be removed from the partition"},

		{NetworkMade, Info, "", "a network (NetworkAttachmentDefinition) was made of the SpiderMultusConfig; detail names it"},
		{NetworkChanged, Info, "", "the network was not as its SpiderMultusConfig says, and is now"},
		{NetworkDeleted, Info, "", "the SpiderMultusConfig is gone or makes a network of another name; this one was deleted"},
		{NetworkInvalid, Warn, "NetworkInvalid", "a network (NetworkAttachmentDefinition) of plugin ib-sriov cannot be used by any pod as it is; err says what to change, detail names it"},
		{ConfigRefused, Warn, "NetworkRefused", "no network comes of the SpiderMultusConfig; err names the field and the mend, and what becomes of a network made before"},
		{ConfigWarned, Warn, "NetworkWarned", "something in the SpiderMultusConfig has no effect, or another one than it seems to have; detail says what to write"},
		{SpiderpoolFound, Info, "", "Spiderpool's own controller runs, makes the networks of SpiderMultusConfigs and injects them; detail says where"},
		{SpiderpoolGone, Info, "", "Spiderpool's own controller is gone; from here on this one makes the networks and injects them"},

		{ClaimReady, Info, "", "a PartitionClaim has its PKey and networks; detail names them"},
		{ClaimRefused, Warn, "ClaimRefused", "pods cannot use the PartitionClaim, or not all of it; detail says why and what to do"},
		{ClaimFollowed, Info, "ClaimNetworkChanged", "a network of the PartitionClaim differed from what it was copied from, and is as that again; detail names it"},
		{ClaimGone, Info, "", "the PartitionClaim, its networks and its Partition are gone"},

		{CheckFailed, Warn, "FabricCheck", "an object of another operator, or a network that needs it, is such that pods will hang; detail names it, err says why and what to write"},
		{CheckPassed, Info, "", "what was wrong with the object that detail names is so no more"},

		{PartitionJudged, Info, "PartitionJudged", "a Partition got ready, or is not any more; detail names it and says why"},
		{DriftFound, Warn, "", "UFM differs from the ledger by count members; it is being repaired"},
		{MembersUnclaimed, Warn, "", "count members of our GUID range stand in UFM that no row explains; they are left alone"},
		{LedgerSpoilt, Warn, "", "a row of the ledger cannot be read and is left as it is"},
		{WorkFailed, Warn, "", "something failed and is tried again; said once until it changes"},
		{Summary, Info, "", "the fabric in numbers, every few minutes"},
	}
}

// Package attach reads what a pod and its networks ask of the fabric, and writes back
// what they were given: from the networks annotation of a pod and the config of a
// NetworkAttachmentDefinition (NAD) to GUIDs and partition claims, and the other way.
//
// Both texts come from tenants. Every reader here is a pure function that takes any
// text, sees in it what Multus and ib-sriov-cni will see, and refuses what two readers
// could understand differently. What it refuses comes back as a *Problem, fit for an
// Event on the pod.
package attach

const (
	// NetworksAnnotation is where a pod names its networks, and where Multus reads them.
	NetworksAnnotation = "k8s.v1.cni.cncf.io/networks"
	// NetworkStatusAnnotation is where Multus says what a pod was given.
	NetworkStatusAnnotation = "k8s.v1.cni.cncf.io/network-status"

	// The annotations of a NAD that say how its GUIDs join partitions.
	PartitionAnnotation  = "ibfabric.io/partition"  // a Partition's name, instead of pkey
	MembershipAnnotation = "ibfabric.io/membership" // full or limited
	Index0Annotation     = "ibfabric.io/index0"     // true or false
	IPoIBAnnotation      = "ibfabric.io/ip-over-ib" // true or false
	AlsoAnnotation       = "ibfabric.io/also"       // storage:limited,0x20

	// CNIType is the plugin type that makes a network InfiniBand.
	CNIType = "ib-sriov"
)

// The fields of a networks element that carry our result. They are those of
// ib-kubernetes and ib-sriov-cni, so that either can stand at the other end.
const (
	topLevelGUID = "infiniband-guid"
	cniArgs      = "cni-args"

	argGUID  = "guid"
	argState = "mellanox.infiniband.app"
	argPKey  = "pkey"
	argPKeys = "ibfabric.io/pkeys"

	configured = "configured"
)

// GUIDField is the field of a networks element that a network's GUIDs go into.
type GUIDField uint8

const (
	InCNIArgs  GUIDField = iota // cni-args.guid
	InTopLevel                  // infiniband-guid, which Multus hands on as a capability
)

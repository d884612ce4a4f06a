// Package multus reads SpiderMultusConfigs and says what comes of them: the
// NetworkAttachmentDefinition (NAD) that Spiderpool would make of one, and the networks
// and resources that a pod gets which asks for a group of them by annotation.
//
// Its heart is pure: [Decode] and [Config.NAD] say what comes of a config, [Inject] what a
// pod gets. Every error names the field and what to write instead.
//
// Around it stands what --multus-configs turns on. On every replica, for the webhook too:
// [Configs] follows the configs and keeps what comes of each, [Spiderpool] knows whether
// Spiderpool itself is there, in which case all this stands back. On the leader:
// [Reconciler] writes the NADs, and [NamespaceLabels] the label by which the webhook is
// called for the pods of a namespace that asks for networks.
//
// Beside the rights of a controller they need, in a ClusterRole:
//
//	spiderpool.spidernet.io  spidermultusconfigs               get, list, watch
//	k8s.cni.cncf.io          network-attachment-definitions    list, watch, create, patch, delete
//	""                       namespaces                        list, watch, patch
//	events.k8s.io            events                            create, patch
//	apps                     deployments [spiderpool-controller], daemonsets [spiderpool-agent]  list, watch
//	authorization.k8s.io     subjectaccessreviews              create
//
// and for --install-crds: apiextensions.k8s.io customresourcedefinitions create.
package multus

// The kind that this package reads. Both generations of it have this one version.
const (
	APIVersion = "spiderpool.spidernet.io/v2beta1"
	Kind       = "SpiderMultusConfig"
)

// Annotations of a SpiderMultusConfig, as Spiderpool reads them.
const (
	// NADNameAnnotation is the NAD's name where it is not that of the config.
	NADNameAnnotation = "multus.spidernet.io/cr-name"
	// CNIVersionAnnotation is the NAD's cniVersion.
	CNIVersionAnnotation = "multus.spidernet.io/cni-version"
	// NetworkNameAnnotation is the name inside the NAD's config, the network's for CNI.
	NetworkNameAnnotation = "cni.spidernet.io/cniconfig-name"

	// RDMAInject puts a config into a group of networks with RDMA devices; on a pod, or on
	// its namespace, it asks for the whole group. Several groups go with commas between.
	RDMAInject = "cni.spidernet.io/rdma-resource-inject"
	// NetworkInject is the same for networks that need no device.
	NetworkInject = "cni.spidernet.io/network-resource-inject"

	// labelsAnnotation lists the labels of a NAD that are its config's, by commas: one that
	// is taken off the config goes, those that others put there stay.
	labelsAnnotation = "ibfabric.io/labels"

	// ResourceAnnotation is where Multus reads which resource of the node a NAD takes.
	ResourceAnnotation = "k8s.v1.cni.cncf.io/resourceName"
)

const (
	defaultCNIVersion = "0.3.1"
	lastApplied       = "kubectl.kubernetes.io/last-applied-configuration"
)

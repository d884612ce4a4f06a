// Package multus reads SpiderMultusConfigs and says what comes of them: the
// NetworkAttachmentDefinition (NAD) that Spiderpool would make of one, and the networks
// and resources that a pod gets which asks for a group of them by annotation.
//
// Everything here is a pure function of its arguments. Three callers are meant:
//
//   - The reconciler behind --multus-configs watches SpiderMultusConfigs as unstructured
//     objects, calls [Decode] and [Config.NAD], and creates or updates what it got. It must
//     leave a NAD alone whose controller is another object, and all of them where
//     Spiderpool's own controller runs.
//   - The validating webhook calls the same two and refuses with their error;
//     [Config.Warnings] are its warnings.
//   - The mutating webhook of pods calls [Inject] with every config of the cluster, from
//     its cache, and writes the result into the pod.
//
// Every error names the field and what to write instead.
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

	// ResourceAnnotation is where Multus reads which resource of the node a NAD takes.
	ResourceAnnotation = "k8s.v1.cni.cncf.io/resourceName"
)

const (
	defaultCNIVersion = "0.3.1"
	lastApplied       = "kubectl.kubernetes.io/last-applied-configuration"
)

package doctor

import (
	"context"
	"crypto/x509"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// Fact is something that was looked at.
type Fact[T any] = facts.Fact[T]

// Facts is all of a cluster at one moment.
type Facts struct {
	Fabric     string
	CRDs       Fact[[]apiextensionsv1.CustomResourceDefinition]
	DaemonSets Fact[[]appsv1.DaemonSet]
	Nodes      Fact[[]corev1.Node]
	Networks   Fact[[]nadv1.NetworkAttachmentDefinition]
	Policies   Fact[[]unstructured.Unstructured] // SriovNetworkNodePolicies
	States     Fact[[]unstructured.Unstructured] // SriovNetworkNodeStates
	Pools      Fact[[]unstructured.Unstructured] // SpiderIPPools
	Incumbents Fact[[]appsv1.Deployment]         // named ib-kubernetes
	IncLeases  Fact[[]coordinationv1.Lease]      // of its leader election
	Validating Fact[[]admissionv1.ValidatingWebhookConfiguration]
	Mutating   Fact[[]admissionv1.MutatingWebhookConfiguration]
	Admission  Fact[[]admissionv1.ValidatingAdmissionPolicy]
	Bindings   Fact[[]admissionv1.ValidatingAdmissionPolicyBinding]
	Overview   Fact[api.Overview] // of the console
	UFM        []Server
	SM         *SM // nil: nobody told
}

// Server is an address of UFM, and what it showed when it was connected to from here.
type Server struct {
	Host  string // without a port
	Certs []*x509.Certificate
	// Err is why there was no connection; Refused why the certificate does not convince.
	Err     error
	Refused error

	order int // among the addresses
}

// SM is what matters of the subnet manager's configuration. It holds no key of the fabric.
type SM struct {
	Weak []string // in words
	// Default is the default membership of the default partition: full or limited, "" if
	// nobody told.
	Default string
}

// Look reads what the API server has. Every list is one request.
func Look(ctx context.Context, c client.Reader, f *Facts) {
	f.CRDs = facts.List(ctx, c, &apiextensionsv1.CustomResourceDefinitionList{}, func(l *apiextensionsv1.CustomResourceDefinitionList) []apiextensionsv1.CustomResourceDefinition {
		return l.Items
	})
	f.DaemonSets = facts.List(ctx, c, &appsv1.DaemonSetList{}, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items })
	f.Nodes = facts.List(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) []corev1.Node { return l.Items })
	f.Networks = facts.List(ctx, c, &nadv1.NetworkAttachmentDefinitionList{}, func(l *nadv1.NetworkAttachmentDefinitionList) []nadv1.NetworkAttachmentDefinition {
		return l.Items
	})
	f.Policies = facts.Kind(ctx, c, "sriovnetwork.openshift.io", "v1", "SriovNetworkNodePolicy")
	f.States = facts.Kind(ctx, c, "sriovnetwork.openshift.io", "v1", "SriovNetworkNodeState")
	f.Pools = facts.Kind(ctx, c, "spiderpool.spidernet.io", "v2beta1", "SpiderIPPool")
	// The names that controller/incumbent.go goes by.
	f.Incumbents = facts.List(ctx, c, &appsv1.DeploymentList{}, func(l *appsv1.DeploymentList) []appsv1.Deployment { return l.Items }, facts.Named("ib-kubernetes"))
	f.IncLeases = facts.List(ctx, c, &coordinationv1.LeaseList{}, func(l *coordinationv1.LeaseList) []coordinationv1.Lease { return l.Items }, facts.Named("ib-kubernetes-leader"))
	f.Validating = facts.List(ctx, c, &admissionv1.ValidatingWebhookConfigurationList{}, func(l *admissionv1.ValidatingWebhookConfigurationList) []admissionv1.ValidatingWebhookConfiguration {
		return l.Items
	})
	f.Mutating = facts.List(ctx, c, &admissionv1.MutatingWebhookConfigurationList{}, func(l *admissionv1.MutatingWebhookConfigurationList) []admissionv1.MutatingWebhookConfiguration {
		return l.Items
	})
	f.Admission = facts.List(ctx, c, &admissionv1.ValidatingAdmissionPolicyList{}, func(l *admissionv1.ValidatingAdmissionPolicyList) []admissionv1.ValidatingAdmissionPolicy {
		return l.Items
	})
	f.Bindings = facts.List(ctx, c, &admissionv1.ValidatingAdmissionPolicyBindingList{}, func(l *admissionv1.ValidatingAdmissionPolicyBindingList) []admissionv1.ValidatingAdmissionPolicyBinding {
		return l.Items
	})
}

// soon is how long before its end a certificate is to be renewed.
const soon = 30 * 24 * time.Hour

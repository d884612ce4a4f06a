package migrate

import (
	"context"
	"maps"
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// Fact is something that was looked at.
type Fact[T any] = facts.Fact[T]

// Facts is all that a move depends on, at one moment.
type Facts struct {
	Incumbents  Fact[[]appsv1.Deployment]          // named ib-kubernetes
	Leases      Fact[[]coordinationv1.Lease]       // of its leader election
	Policies    Fact[[]unstructured.Unstructured]  // NicClusterPolicies, network-operator's
	ConfigMaps  map[types.NamespacedName]Fact[Map] // that ib-kubernetes reads
	Secrets     map[types.NamespacedName]Fact[Secret]
	Networks    Fact[[]nadv1.NetworkAttachmentDefinition]
	Pods        Fact[[]corev1.Pod]       // on networks, and those of both controllers
	DaemonSets  Fact[[]appsv1.DaemonSet] // all: some put CNI plugins on nodes
	Nodes       Fact[[]corev1.Node]
	Controllers Fact[[]appsv1.Deployment] // ibfabric's
	Ledger      Fact[[]v1alpha1.LedgerRow]
	// Overview is of the console of whoever leads; nil where nobody was asked.
	Overview *Fact[api.Overview]
}

// Map is what a ConfigMap says.
type Map map[string]string

// Secret is what may be known of UFM's Secret: which keys it has, and what of it is no
// credential. The others never come in here.
type Secret struct {
	Keys        []string
	Address     string
	Scheme      string
	Port        string
	Certificate []byte // PEM
}

func newSecret(s *corev1.Secret) Secret {
	return Secret{
		Keys:    slices.Sorted(maps.Keys(s.Data)),
		Address: string(s.Data[ufmAddress]), Scheme: string(s.Data[ufmScheme]), Port: string(s.Data[ufmPort]),
		Certificate: s.Data[ufmCertificate],
	}
}

// The names and labels that objects are found by.
const (
	theirName       = "ib-kubernetes" // of their Deployment and, as the label name, of its pods
	theirLease      = "ib-kubernetes-leader"
	nameLabel       = "app.kubernetes.io/name"
	ourController   = "ibfabric-controller"
	ourNodes        = "ibfabric-node"
	operatorDefault = "nvidia-network-operator" // the namespace that its own pages install it in
)

// Look reads the cluster, and changes nothing.
func Look(ctx context.Context, c client.Reader) Facts {
	deployments := func(l *appsv1.DeploymentList) []appsv1.Deployment { return l.Items }
	f := Facts{
		Incumbents: facts.List(ctx, c, &appsv1.DeploymentList{}, deployments, facts.Named(theirName)),
		Leases:     facts.List(ctx, c, &coordinationv1.LeaseList{}, func(l *coordinationv1.LeaseList) []coordinationv1.Lease { return l.Items }, facts.Named(theirLease)),
		Policies:   facts.Kind(ctx, c, "mellanox.com", "v1alpha1", "NicClusterPolicy"),
		Networks: facts.List(ctx, c, &nadv1.NetworkAttachmentDefinitionList{}, func(l *nadv1.NetworkAttachmentDefinitionList) []nadv1.NetworkAttachmentDefinition {
			return l.Items
		}),
		Pods:        pods(ctx, c),
		DaemonSets:  facts.List(ctx, c, &appsv1.DaemonSetList{}, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items }),
		Nodes:       facts.List(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) []corev1.Node { return l.Items }),
		Controllers: facts.List(ctx, c, &appsv1.DeploymentList{}, deployments, client.MatchingLabels{nameLabel: ourController}),
		ConfigMaps:  map[types.NamespacedName]Fact[Map]{},
		Secrets:     map[types.NamespacedName]Fact[Secret]{},
	}
	f.Ledger = ledger(ctx, c, f.Controllers.Value)
	f.lookUp(ctx, c)
	return f
}

// ledger are the rows of the controllers that are there. What one that is gone left behind
// says nothing of who has what now.
func ledger(ctx context.Context, c client.Reader, controllers []appsv1.Deployment) Fact[[]v1alpha1.LedgerRow] {
	return facts.List(ctx, c, &v1alpha1.LedgerList{}, func(l *v1alpha1.LedgerList) (rows []v1alpha1.LedgerRow) {
		for _, shard := range l.Items {
			if slices.ContainsFunc(controllers, func(d appsv1.Deployment) bool { return d.Namespace == shard.Namespace }) {
				rows = append(rows, shard.Spec.Rows...)
			}
		}
		return rows
	})
}

// lookUp reads the ConfigMaps and Secrets that ib-kubernetes names.
func (f *Facts) lookUp(ctx context.Context, c client.Reader) {
	configMaps, secrets := f.named()
	for _, key := range configMaps {
		var m corev1.ConfigMap
		err := c.Get(ctx, key, &m)
		f.ConfigMaps[key] = Fact[Map]{Value: m.Data, Err: err}
	}
	for _, key := range secrets {
		var s corev1.Secret
		err := c.Get(ctx, key, &s)
		f.Secrets[key] = Fact[Secret]{Value: newSecret(&s), Err: err}
	}
}

// pods reads all pods page by page, and keeps those that matter here.
func pods(ctx context.Context, c client.Reader) (kept Fact[[]corev1.Pod]) {
	const pageSize = 500
	for next := ""; ; {
		var page corev1.PodList
		if err := c.List(ctx, &page, client.Limit(pageSize), client.Continue(next)); err != nil {
			return Fact[[]corev1.Pod]{Err: err}
		}
		for i := range page.Items {
			p := &page.Items[i]
			if p.Annotations[attach.NetworksAnnotation] != "" || isTheirs(p) || p.Labels[nameLabel] == ourNodes {
				kept.Value = append(kept.Value, *p)
			}
		}
		if next = page.Continue; next == "" {
			return kept
		}
	}
}

// isTheirs reports whether a pod is one of ib-kubernetes.
func isTheirs(p *corev1.Pod) bool { return p.Labels["name"] == theirName }

func isOver(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

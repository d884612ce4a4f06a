package main

import (
	"context"
	"fmt"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

// look asks the API server and UFM. What could be read is there also with an error.
func (d *demo) look(ctx context.Context) (facts, error) {
	f := facts{Networks: map[types.NamespacedName]attach.Network{}, Ledger: map[owner]guid.GUID{}}
	ours := client.MatchingLabels{exampleKey: exampleValue}
	var pods corev1.PodList
	if err := d.cluster.api.List(ctx, &pods, ours); err != nil {
		return f, fmt.Errorf("list the pods: %w", err)
	}
	f.Pods = pods.Items
	var nads nadv1.NetworkAttachmentDefinitionList
	if err := d.cluster.api.List(ctx, &nads, ours); err != nil {
		return f, fmt.Errorf("list the networks: %w", err)
	}
	for _, n := range nads.Items {
		key := client.ObjectKeyFromObject(&n)
		f.Networks[key], _ = attach.ParseNetwork(key, n.Spec.Config, n.Annotations) // the controller tells its pods
	}
	var ledgers v1alpha1.LedgerList
	if err := d.cluster.api.List(ctx, &ledgers, client.InNamespace(namespace)); err != nil && !meta.IsNoMatchError(err) {
		return f, fmt.Errorf("list the ledgers: %w", err)
	}
	for _, l := range ledgers.Items {
		for _, r := range l.Spec.Rows {
			f.Ledger[owner{r.PodUID, r.Interface}], _ = guid.Parse(r.GUID)
		}
	}
	var err error
	f.Partitions, err = d.ufm.Partitions(ctx)
	return f, err
}

// why collects what the cluster says of pods that wait.
func (d *demo) why(ctx context.Context) string {
	var events corev1.EventList
	if err := d.cluster.api.List(ctx, &events); err != nil {
		return ""
	}
	var said strings.Builder
	for _, e := range events.Items {
		if e.InvolvedObject.Kind == "Pod" && strings.HasPrefix(e.Reason, "Fabric") {
			fmt.Fprintf(&said, "event on %s/%s: %s: %s\n", e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	return said.String()
}

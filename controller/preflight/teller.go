package preflight

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/record"
)

// settle is how long what was changed is let come to rest before it is looked at: a file
// that makes a network and its pool makes them one after the other.
const settle = 2 * time.Second

// Teller tells of findings, each once for as long as it stands, and of their end. It looks
// when something changed, and does nothing else.
type Teller struct {
	Others *Others
	Cache  cache.Cache // of NADs and nodes
	Record *record.Recorder
	After  func(time.Duration) <-chan time.Time

	told map[Finding]bool
}

// NeedLeaderElection says that only the leader tells.
func (t *Teller) NeedLeaderElection() bool { return true }

// Start tells until ctx ends.
func (t *Teller) Start(ctx context.Context) error {
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	t.Others.onChange(mark)
	stop, err := t.follow(ctx, mark)
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-dirty:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.After(settle):
		}
		select { // what came meanwhile is looked at now
		case <-dirty:
		default:
		}
		if err := t.look(ctx); err != nil {
			return err
		}
	}
}

// follow marks what changes of NADs and of the labels of nodes.
func (t *Teller) follow(ctx context.Context, mark func()) (stop func(), err error) {
	always := toolscache.ResourceEventHandlerFuncs{AddFunc: func(any) { mark() }, DeleteFunc: func(any) { mark() }}
	onNAD, onNode := always, always
	onNAD.UpdateFunc = func(from, to any) {
		a, aOK := from.(*nadv1.NetworkAttachmentDefinition)
		b, bOK := to.(*nadv1.NetworkAttachmentDefinition)
		if aOK && bOK && a.Spec.Config != b.Spec.Config {
			mark()
		}
	}
	onNode.UpdateFunc = func(from, to any) {
		a, aOK := from.(*corev1.Node)
		b, bOK := to.(*corev1.Node)
		if aOK && bOK && !maps.Equal(a.Labels, b.Labels) {
			mark()
		}
	}
	nads, err := t.Cache.GetInformer(ctx, &nadv1.NetworkAttachmentDefinition{})
	if err != nil {
		return nil, fmt.Errorf("watch networks: %w", err)
	}
	nodes, err := t.Cache.GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	one, err := nads.AddEventHandler(onNAD)
	if err != nil {
		return nil, fmt.Errorf("watch networks: %w", err)
	}
	two, err := nodes.AddEventHandler(onNode)
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	return func() { _, _ = nads.RemoveEventHandler(one), nodes.RemoveEventHandler(two) }, nil
}

// look checks the cluster as it is now.
func (t *Teller) look(ctx context.Context) error {
	c, err := t.cluster(ctx)
	if err != nil {
		return err
	}
	now := map[Finding]bool{}
	for _, f := range Check(c) {
		if now[f] = true; !t.told[f] {
			t.Record.Tell(object(f.About), record.CheckFailed, record.Fields{UID: f.About.UID, Detail: name(f.About), Err: errors.New(f.Detail)})
		}
	}
	for f := range t.told {
		if !now[f] {
			t.Record.Log(record.CheckPassed, record.Fields{UID: f.About.UID, Detail: name(f.About)})
		}
	}
	t.told = now
	return nil
}

func (t *Teller) cluster(ctx context.Context) (c Cluster, err error) {
	c.Pools, c.Policies = t.Others.known()
	if c.Pools != nil { // without, nothing is read of networks
		var nads nadv1.NetworkAttachmentDefinitionList
		if err := t.Cache.List(ctx, &nads, client.UnsafeDisableDeepCopy); err != nil {
			return c, fmt.Errorf("list networks from the cache: %w", err)
		}
		c.Networks = nads.Items
	}
	if len(c.Policies) > 1 {
		var nodes corev1.NodeList
		if err := t.Cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
			return c, fmt.Errorf("list nodes from the cache: %w", err)
		}
		for i := range nodes.Items {
			c.Nodes = append(c.Nodes, nodes.Items[i].Labels)
		}
	}
	return c, nil
}

func name(o corev1.ObjectReference) string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// object is what a Kubernetes Event refers to.
func object(o corev1.ObjectReference) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(o.APIVersion)
	u.SetKind(o.Kind)
	u.SetNamespace(o.Namespace)
	u.SetName(o.Name)
	u.SetUID(o.UID)
	return u
}

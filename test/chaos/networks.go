package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

const (
	networkCount           = 6
	pkeyCount              = 8
	firstPKey    pkey.PKey = 0x101
	storagePKey  pkey.PKey = 0x200 // joined beside another
)

// networks are the NADs, and all that each of them ever said.
type networks struct {
	api client.Client
	ns  string

	mu   sync.Mutex // protects said
	said map[types.NamespacedName][]saying
}

// saying is what a network was told to say. Whether the API server took it is not known
// at times, so each may have been read from then on.
type saying struct {
	at     time.Time
	claims []attach.Claim
}

func networkName(i int) string { return fmt.Sprintf("rail%d", i) }

// draw makes up what a network says: a PKey, and for some a membership and a second
// partition. One in eight gives its GUID in the other field.
func (n *networks) draw(i int, dice *rand.Rand) *nadv1.NetworkAttachmentDefinition {
	p := firstPKey + pkey.PKey(dice.IntN(pkeyCount))
	capability := ""
	if i == 0 {
		capability = `,"capabilities":{"infinibandGUID":true}`
	}
	notes := map[string]string{}
	switch dice.IntN(4) {
	case 0:
		notes[attach.AlsoAnnotation] = storagePKey.String() + ":limited"
	case 1:
		notes[attach.MembershipAnnotation] = "limited"
	case 2:
		notes[attach.AlsoAnnotation] = (firstPKey + pkeyCount).String() + "," + storagePKey.String()
		notes[attach.Index0Annotation] = "false"
	}
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.ns, Name: networkName(i), Annotations: notes},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(
			`{"cniVersion":"0.3.1","name":%q,"type":"ib-sriov","pkey":%q%s}`, networkName(i), p, capability)},
	}
}

// write makes a network say something, whatever it says now.
func (n *networks) write(ctx context.Context, i int, dice *rand.Rand) error {
	nad := n.draw(i, dice)
	key := client.ObjectKeyFromObject(nad)
	net, err := attach.ParseNetwork(key, nad.Spec.Config, nad.Annotations)
	if err != nil {
		return fmt.Errorf("network %s: %w", key, err)
	}
	n.mu.Lock()
	n.said[key] = append(n.said[key], saying{time.Now(), net.Claims})
	n.mu.Unlock()
	var old nadv1.NetworkAttachmentDefinition
	switch err := n.api.Get(ctx, key, &old); {
	case apierrors.IsNotFound(err):
		return n.api.Create(ctx, nad)
	case err != nil:
		return err
	}
	old.Annotations, old.Spec = nad.Annotations, nad.Spec
	return n.api.Update(ctx, &old)
}

func (n *networks) remove(ctx context.Context, i int) error {
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: n.ns, Name: networkName(i)}}
	return client.IgnoreNotFound(n.api.Delete(ctx, nad))
}

// makeMissing makes those again that are gone.
func (n *networks) makeMissing(ctx context.Context, dice *rand.Rand) error {
	for i := range networkCount {
		var nad nadv1.NetworkAttachmentDefinition
		err := n.api.Get(ctx, types.NamespacedName{Namespace: n.ns, Name: networkName(i)}, &nad)
		if apierrors.IsNotFound(err) {
			err = n.write(ctx, i, dice)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allowed reports whether a network said before a time what a pod was given. How long
// before is left open: a controller cut off from the API server works with what it last
// read.
func (n *networks) allowed(name types.NamespacedName, claims []attach.Claim, at time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.said[name] {
		if !s.at.After(at) && sameClaims(s.claims, claims) {
			return true
		}
	}
	return false
}

func sameClaims(a, b []attach.Claim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].PKey != b[i].PKey || a[i].Mode != b[i].Mode {
			return false
		}
	}
	return true
}

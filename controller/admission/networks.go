package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/grant"
	"github.com/ibfabric/ibfabric/controller/preflight"
	"github.com/ibfabric/ibfabric/pkey"
)

// Networks refuses NADs that the controller would refuse to serve, in the same words.
type Networks struct {
	Selector labels.Selector // which NADs are this fabric's, by their labels
	Scope    pkey.Scope      // which PKeys may be changed
	Grants   grant.Grants    // nil: there are no Partitions, and every PKey is open
	Pools    Pools
}

// Handle answers for one NAD that is made or changed.
func (n *Networks) Handle(_ context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return admission.Allowed("")
	}
	nad, err := decodeNAD(req.Object.Raw)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	nad.Namespace, nad.Name = req.Namespace, nameOf(req, nad.Name)
	answer := n.judge(req, nad)
	if answer.Allowed {
		answer = answer.WithWarnings(poolWarning(n.Pools, preflight.PoolsOf(nad.Spec.Config))...)
	}
	return answer
}

func (n *Networks) judge(req admission.Request, nad *nadv1.NetworkAttachmentDefinition) admission.Response {
	if !n.ours(nad) {
		return n.answerStranger(req, nad)
	}
	// Finalizers and labels of a NAD that would be refused now can still be changed: its
	// live pods keep what they have, and it must be possible to let it go.
	if old, err := decodeNAD(req.OldObject.Raw); err == nil && req.Operation == admissionv1.Update && n.ours(old) && says(old, nad) {
		return admission.Allowed("")
	}
	return answer(n.check(nad))
}

// answerStranger answers for a NAD that is another fabric's, or nobody's. What it asks for
// is not for this controller to judge, but the CNI takes a GUID from any network, and one of
// another pod would be in that pod's partitions.
func (n *Networks) answerStranger(req admission.Request, nad *nadv1.NetworkAttachmentDefinition) admission.Response {
	if old, err := decodeNAD(req.OldObject.Raw); err == nil && req.Operation == admissionv1.Update && old.Spec.Config == nad.Spec.Config {
		return admission.Allowed("")
	}
	name := types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}
	// An ambiguous config has its ib-sriov plugin all the same.
	net, _ := attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	if !net.InfiniBand {
		return admission.Allowed("")
	}
	return answer(checkGiven(name, nad.Spec.Config))
}

// answer turns what is wrong with a NAD into a response. A Partition that is not there
// yet is no fault: the two may come in either order.
func answer(err error) admission.Response {
	switch {
	case err == nil:
		return admission.Allowed("")
	case errors.Is(err, grant.ErrNotYet):
		return admission.Allowed("").WithWarnings(fmt.Sprintf("pods on this network wait: %v", err))
	default:
		return admission.Denied(err.Error())
	}
}

func (n *Networks) ours(nad *nadv1.NetworkAttachmentDefinition) bool {
	return n.Selector.Matches(labels.Set(nad.Labels))
}

// check says why a NAD cannot be served. One that is not InfiniBand is none of our
// business, and of a config that cannot be read nobody knows whose it is.
func (n *Networks) check(nad *nadv1.NetworkAttachmentDefinition) error {
	name := types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}
	net, err := attach.ParseNetwork(name, nad.Spec.Config, nad.Annotations)
	if err != nil || !net.InfiniBand {
		return err
	}
	if err := checkGiven(name, nad.Spec.Config); err != nil {
		return err
	}
	if err := n.mayUse(nad.Namespace, net.Claims); err != nil {
		return fmt.Errorf("network %s: %w", name, err)
	}
	return nil
}

// mayUse asks the grants. A Partition that cannot be used yet must not hide that another
// one, or a PKey, never can be.
func (n *Networks) mayUse(namespace string, claims []attach.Claim) error {
	err := n.resolve(namespace, claims)
	if !errors.Is(err, grant.ErrNotYet) {
		return err
	}
	for i := range claims {
		if alone := n.resolve(namespace, claims[i:i+1]); !errors.Is(alone, grant.ErrNotYet) && alone != nil {
			return alone
		}
	}
	return err
}

// resolve refuses partitions that the namespace is not granted, or that this controller
// may not change.
func (n *Networks) resolve(namespace string, claims []attach.Claim) (err error) {
	if n.Grants != nil {
		if claims, err = n.Grants.Resolve(namespace, claims); err != nil {
			return err
		}
	}
	for _, claim := range claims {
		if claim.PKey == 0 {
			return fmt.Errorf("there is no Partition %q; name the PKey itself, as in 0x1000", claim.Partition)
		}
		if !n.Scope.Contains(claim.PKey) {
			return fmt.Errorf("pkey %s is outside what this controller may change (%s); choose one inside, or widen --pkey-scope", claim.PKey, n.Scope)
		}
	}
	return nil
}

// says reports whether two versions of a NAD say the same of the fabric.
func says(a, b *nadv1.NetworkAttachmentDefinition) bool {
	return a.Spec.Config == b.Spec.Config && maps.Equal(wishes(a.Annotations), wishes(b.Annotations))
}

// wishes are the annotations that the parser reads. The others may change, such as what
// kubectl apply leaves.
func wishes(annotations map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, "ibfabric.io/") {
			own[key] = value
		}
	}
	return own
}

func decodeNAD(raw []byte) (*nadv1.NetworkAttachmentDefinition, error) {
	var nad nadv1.NetworkAttachmentDefinition
	// Keys count in their exact spelling, as where the API server reads them.
	if err := json.Unmarshal(raw, &nad); err != nil {
		return nil, fmt.Errorf("read the NetworkAttachmentDefinition: %w", err)
	}
	return &nad, nil
}

// nameOf names an object that may have no name yet but generateName.
func nameOf(req admission.Request, own string) string {
	if req.Name != "" {
		return req.Name
	}
	return own
}

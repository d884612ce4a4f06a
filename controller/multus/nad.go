package multus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// NADName is the name of the NAD that comes of c, which pods name.
func (c Config) NADName() types.NamespacedName {
	return types.NamespacedName{Namespace: c.Name.Namespace, Name: cmp.Or(c.Annotations[NADNameAnnotation], c.Name.Name)}
}

// NAD is the NetworkAttachmentDefinition that comes of c in a cluster that has what s
// says. Equal configs give equal bytes. Beside what Spiderpool writes it has the labels of
// c, by which a controller chooses the networks of its fabric, and it lacks kubectl's
// record of what was applied, which is of another object.
//
// The Config must come from Decode without an error.
func (c Config) NAD(s Settings) (*nadv1.NetworkAttachmentDefinition, error) {
	if errs := c.missing(s); len(errs) > 0 {
		return nil, c.fail(errs)
	}
	name := c.NADName()
	text, err := c.text(s, name.Name)
	if err != nil {
		return nil, fmt.Errorf("%s %s: write the CNI configuration: %w", Kind, c.Name, err)
	}
	yes := true
	nad := &nadv1.NetworkAttachmentDefinition{
		TypeMeta: metav1.TypeMeta{APIVersion: nadv1.SchemeGroupVersion.String(), Kind: "NetworkAttachmentDefinition"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name,
			Labels: c.nadLabels(), Annotations: c.nadAnnotations(),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: APIVersion, Kind: Kind, Name: c.Name.Name, UID: c.UID,
				Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: text},
	}
	// What the rest of the controller would refuse later is refused now.
	if _, err := attach.ParseNetwork(name, text, nad.Annotations); err != nil {
		return nil, fmt.Errorf("%s %s: %w", Kind, c.Name, err)
	}
	return nad, nil
}

// nadLabels are those of c but for Spiderpool's own copies of annotations.
func (c Config) nadLabels() map[string]string {
	all := maps.Clone(c.Labels)
	delete(all, RDMAInject)
	delete(all, NetworkInject)
	return all
}

func (c Config) nadAnnotations() map[string]string {
	all := map[string]string{}
	maps.Copy(all, c.Annotations)
	delete(all, lastApplied)
	delete(all, labelsAnnotation)
	// Of the others Multus is not to take a device: a shared one is no part of the network.
	if c.CNIType == IBSRIOV || c.CNIType == SRIOV {
		all[ResourceAnnotation] = c.Resource()
	}
	if labels := slices.Sorted(maps.Keys(c.nadLabels())); len(labels) > 0 {
		all[labelsAnnotation] = strings.Join(labels, ",")
	}
	return all
}

// text is the CNI configuration of c. Of the plugins, rdma runs right behind sriov, the
// coordinator behind those that the user chains, tuning last.
func (c Config) text(s Settings, nadName string) (string, error) {
	if c.Main == nil {
		return c.CustomCNI, nil
	}
	main, last := c.Main.plugins(c.IPAM.block())
	all := slices.Clone(main)
	for _, raw := range c.Chain {
		all = append(all, raw)
	}
	if c.coordinated(s) {
		all = append(all, c.Coordinator.plugin())
	}
	text, err := json.Marshal(struct {
		CNIVersion string `json:"cniVersion"`
		Name       string `json:"name"`
		Plugins    []any  `json:"plugins"`
	}{
		cmp.Or(c.Annotations[CNIVersionAnnotation], defaultCNIVersion),
		cmp.Or(c.Annotations[NetworkNameAnnotation], nadName),
		append(all, last...),
	})
	return string(text), err
}

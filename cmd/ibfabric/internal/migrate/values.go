package migrate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// NodeLabel is what a node carries that ibfabric's CNI plugins go to. A DaemonSet comes to
// all its nodes at once; with a label they are chosen one by one.
const NodeLabel = "ibfabric.io/cni"

// Values are what the chart is to be told so that ibfabric works as ib-kubernetes does. What
// is not in here is right as the chart has it.
type Values struct {
	UFM           UFMValues           `json:"ufm"`
	GUIDs         *GUIDValues         `json:"guids,omitempty"`
	SyncPeriod    string              `json:"syncPeriod,omitempty"`
	Admission     *AdmissionValues    `json:"admission,omitempty"`
	NetworkPolicy *NetworkPolicyValue `json:"networkPolicy,omitempty"`
	Node          NodeValues          `json:"node"`
}

// UFMValues say where UFM is.
type UFMValues struct {
	Secret    string `json:"secret,omitempty"`
	ConfigMap string `json:"configMap,omitempty"`
	Plugin    string `json:"plugin,omitempty"`
	Address   string `json:"address,omitempty"`
	Scheme    string `json:"scheme,omitempty"`
	Port      int    `json:"port,omitempty"`
}

// GUIDValues are the range.
type GUIDValues struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// AdmissionValues name who may write into pods besides ibfabric.
type AdmissionValues struct {
	Policies struct {
		Writers []string `json:"writers"`
	} `json:"policies"`
}

// NetworkPolicyValue lets the controller reach UFM on a port that is not 443.
type NetworkPolicyValue struct {
	UFMPorts []int `json:"ufmPorts"`
}

// NodeValues have the nodes moved one by one.
type NodeValues struct {
	Foreign        string            `json:"foreign"`
	NodeSelector   map[string]string `json:"nodeSelector"`
	UpdateStrategy map[string]string `json:"updateStrategy"`
	Affinity       *corev1.Affinity  `json:"affinity,omitempty"`
}

func newValues() Values {
	return Values{Node: NodeValues{
		Foreign: "replace", NodeSelector: map[string]string{NodeLabel: "yes"}, UpdateStrategy: map[string]string{"type": "OnDelete"},
	}}
}

// YAML is a values.yaml, with what a person should know of it.
func (v Values) YAML(namespace string) (string, error) {
	text, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write the values: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Values of the chart ibfabric, made by ibfabric migrate of the settings of ib-kubernetes.\n")
	fmt.Fprintf(&b, "# They are for a release in namespace %s, where the Secret is.\n", namespace)
	fmt.Fprintf(&b, "# Add image.registry and image.tag where the images are your own.\n")
	b.Write(text)
	return b.String(), nil
}

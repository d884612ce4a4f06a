package doctor

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ibfabric/ibfabric/cni/node"
)

// Want is what the networks ask of a node. The zero value asks what the guide asks:
// exclusive mode where there is InfiniBand.
type Want struct {
	Layers    []string // link layers that networks are for
	Exclusive bool     // a network isolates RDMA devices
	Networks  int      // of our kinds, in the configurations that were read

	ibNetworks, controlled int // the latter wait for a controller, which gives GUIDs
}

// document is a CNI configuration, a list of them, a NetworkAttachmentDefinition, or a
// list of those.
type document struct {
	Items   []json.RawMessage `json:"items"`
	Plugins []json.RawMessage `json:"plugins"`
	Spec    struct {
		Config string `json:"config"`
	} `json:"spec"`
	Metadata struct{ Namespace, Name string }

	Type          string `json:"type"`
	RDMAIsolation bool   `json:"rdmaIsolation"`
	IBKubernetes  bool   `json:"ibKubernetesEnabled"`
}

// Read adds what a document asks. Plugins of others ask nothing.
func (w *Want) Read(text []byte) error {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("reading a network's configuration: %w", err)
	}
	for _, part := range slices.Concat(d.Items, d.Plugins) {
		if err := w.Read(part); err != nil {
			return err
		}
	}
	if d.Spec.Config != "" {
		if err := w.Read([]byte(d.Spec.Config)); err != nil {
			return fmt.Errorf("network %s/%s: %w", d.Metadata.Namespace, d.Metadata.Name, err)
		}
	}
	w.plugin(d)
	return nil
}

func (w *Want) plugin(d document) {
	switch d.Type {
	case "ib-sriov":
		w.layer(node.InfiniBand)
		w.ibNetworks++
		if d.IBKubernetes {
			w.controlled++
		}
	case "sriov":
		w.layer(node.Ethernet)
	case "rdma":
		w.Exclusive = true
		return // it belongs to another plugin's network
	default:
		return
	}
	w.Networks++
	w.Exclusive = w.Exclusive || d.RDMAIsolation
}

func (w *Want) layer(l string) {
	if !slices.Contains(w.Layers, l) {
		w.Layers = append(w.Layers, l)
	}
}

// SetLayer overrides what the configurations say.
func (w *Want) SetLayer(l string) error {
	if l != node.InfiniBand && l != node.Ethernet {
		return fmt.Errorf("%q is no link layer; write %s or %s", l, node.InfiniBand, node.Ethernet)
	}
	w.Layers = []string{l}
	return nil
}

// exclusive reports whether the node is to be in exclusive mode, and who says so.
func (w Want) exclusive(n Node) (bool, string) {
	switch {
	case w.Exclusive:
		return true, "networks isolate RDMA devices"
	case w.Networks > 0:
		return false, "no network isolates RDMA devices"
	case hasInfiniBand(n) || slices.Contains(w.Layers, node.InfiniBand):
		return true, "pods on InfiniBand want it"
	}
	return false, "RoCE works in both"
}

// guidsGiven reports whether every InfiniBand network waits for a controller's GUID.
func (w Want) guidsGiven() bool { return w.ibNetworks > 0 && w.ibNetworks == w.controlled }

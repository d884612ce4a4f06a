package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// A tenant can give a network other labels while a pod on it stands at the gate, and the CNI
// reads no labels.
func TestAGUIDOnAnothersNetworkKeepsThePodAtTheGateUntilAControllerWroteIt(t *testing.T) {
	const (
		pinned  = `{"name":"foreign","cni-args":{"guid":"02:00:00:00:00:00:00:77"}}`
		written = `{"name":"foreign","cni-args":{"guid":"02:00:00:00:00:00:00:77","pkey":"0x5","mellanox.infiniband.app":"configured"}}`
		doubled = `{"name":"foreign","infiniband-guid":"","Infiniband-GUID":"02:00:00:00:00:00:00:77"}`
	)
	for name, tc := range map[string]struct {
		element           string
		gated             bool
		unjudged, problem bool
	}{
		"pinned":               {pinned, true, true, false},
		"named alone":          {`{"name":"foreign"}`, true, false, false},
		"with a pkey":          {`{"name":"foreign","cni-args":{"pkey":"0x5"}}`, true, true, false},
		"written":              {written, true, false, false},
		"read in two ways":     {doubled, true, false, true},
		"pinned, no gate":      {pinned, false, false, false},
		"in two ways, no gate": {doubled, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.knows("rail1", "1", attach.Network{Claims: []attach.Claim{{PKey: 5}}})
			d.networks.by[types.NamespacedName{Namespace: "ns", Name: "foreign"}] = networkReading{version: "1", foreign: true}
			pod := podNamed("a")
			pod.Annotations = map[string]string{attach.NetworksAnnotation: `[{"name":"rail1"},` + tc.element + `]`}
			if tc.gated {
				pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: d.cfg.Gate()}}
			}
			asks, err := d.wanted(t.Context(), pod)
			if len(asks.ours) != 1 || (asks.unjudged.Name == "foreign") != tc.unjudged || (err != nil) != tc.problem {
				t.Errorf("it wants %+v, %v", asks, err)
			}
		})
	}
}

func TestAPodOnAnothersNetworkAloneStaysAtTheGateAndIsTold(t *testing.T) {
	d := newDesk(t)
	d.cache = nadsOnly{}
	d.networks.by[types.NamespacedName{Namespace: "ns", Name: "foreign"}] = networkReading{version: "1", foreign: true}
	pod := podNamed("a")
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: d.cfg.Gate()}}
	pod.Annotations = map[string]string{attach.NetworksAnnotation: `[{"name":"foreign","cni-args":{"guid":"02:00:00:00:00:00:00:77"}}]`}
	asks, err := d.wanted(t.Context(), pod)
	if err == nil {
		err = d.refusePod(t.Context(), pod, asks.unjudged, nil) // there is no API server to patch it
	}
	if err != nil || d.mail.n != 1 || !strings.Contains(d.mail.last, "it goes on when that fabric's controller has configured it there") {
		t.Errorf("%v, told %d times: %s", err, d.mail.n, d.mail.last)
	}
}

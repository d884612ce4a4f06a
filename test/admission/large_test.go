package admission

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// The API server counts what an expression costs, and refuses what costs too much: what is
// written in good faith must stay below, at the largest size that it takes.
func TestWhatIsAsLargeAsTheyComeIsStillJudged(t *testing.T) {
	w := newWorldWithARail(t)
	const most = 256<<10 - 1<<10 // bytes of all annotations of an object, less ours
	many := strings.TrimSuffix(strings.Repeat("macvlan,", most/8), ",")
	tenant := w.as("tenant")

	pod := w.draft("many", many, out)
	if err := tenant.Create(w.ctx(), pod); err != nil {
		t.Fatalf("a pod on many networks: %v", err)
	}
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"message":"seen"}}`))
	if err := w.as("system:node:node-0").Status().Patch(w.ctx(), pod, status); err != nil {
		t.Errorf("its kubelet: %v", err)
	}
	if err := tenant.Update(w.ctx(), rewritten(w.get("many"), strings.Replace(many, "macvlan", "ipvlan1", 1))); err != nil {
		t.Errorf("another of its networks: %v", err)
	}
	thief := w.draft("thief", "", func(p *corev1.Pod) { p.Spec.NodeName = "node-0" })
	marked := `[{"name":"rail1","cni-args":{"mellanox.infiniband.app":"configured"},"x":"%s"}]`
	thief.Annotations = map[string]string{attach.NetworksAnnotation: fmt.Sprintf(marked, strings.Repeat("x", most-len(marked)))}
	refused(t, tenant.Create(w.ctx(), thief), "must wait at ibfabric's scheduling gate")

	nad := w.nad("large", fmt.Sprintf(`{"type":"ib-sriov","pkey":"0x5","x":%q}`, strings.Repeat("x", 1<<20)), map[string]string{"x": strings.Repeat("x", most)})
	if err := w.api.Create(w.ctx(), nad); err != nil {
		t.Fatalf("a large network: %v", err)
	}
	nad.Labels["more"] = "yes"
	if err := w.api.Update(w.ctx(), nad); err != nil {
		t.Errorf("its label: %v", err)
	}
}

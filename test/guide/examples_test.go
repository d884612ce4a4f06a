package guide

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestTheInfiniBandExampleIsEightRailsOfAPartition(t *testing.T) {
	w := newWorld(t)
	e := w.example(t, "infiniband-spider")
	tenant := attach.Claim{PKey: 0x1000, Mode: pkey.Mode{Index0: true}, IPoIB: true}
	storage := attach.Claim{PKey: 0x20, Mode: pkey.Mode{Membership: pkey.Limited}, IPoIB: true}
	for i := range 8 {
		want := attach.Network{Name: types.NamespacedName{Namespace: "spiderpool", Name: fmt.Sprintf("gpu%d-sriov", i+1)}, InfiniBand: true, Claims: []attach.Claim{tenant}}
		if i == 0 {
			want.Claims = append(want.Claims, storage)
		}
		if diff := cmp.Diff(want, e.networks[want.Name]); diff != "" {
			t.Error(diff)
		}
	}
	e.wantInjected(t)
}

func TestTheRoCEExampleIsEightRailsOfEthernet(t *testing.T) {
	w := newWorld(t)
	e := w.example(t, "roce")
	for name, n := range e.networks {
		if n.InfiniBand {
			t.Errorf("%s is InfiniBand", name)
		}
	}
	e.wantInjected(t)
}

// example is what comes of one: its networks as the API server has them, and its pods.
type example struct {
	networks   map[types.NamespacedName]attach.Network
	candidates []multus.Candidate
	spelled    corev1.PodTemplateSpec // names its networks and resources
	asking     corev1.PodTemplateSpec // asks for them as a group
}

func (w *world) example(t *testing.T, name string) example {
	t.Helper()
	files, err := filepath.Glob(root + "/deploy/examples/" + name + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	e := example{networks: map[types.NamespacedName]attach.Network{}}
	for _, file := range files {
		for _, u := range w.create(t, file, "") {
			switch u.GetKind() {
			case multus.Kind:
				e.add(t, w, u)
			case "DaemonSet":
				e.spelled = template(t, u)
			case "Job":
				e.asking = template(t, u)
			}
		}
	}
	if len(e.networks) != 8 {
		t.Fatalf("%d networks", len(e.networks))
	}
	return e
}

// add makes the NAD of a config, as the reconciler will, and reads it back as the
// controller does.
func (e *example) add(t *testing.T, w *world, u *unstructured.Unstructured) {
	t.Helper()
	c, nad := network(t, u, multus.Settings{})
	if len(c.Warnings) > 0 {
		t.Errorf("%s: %q", c.Name, c.Warnings)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(nad)
	if err != nil {
		t.Fatal(err)
	}
	made := &unstructured.Unstructured{Object: object}
	if err := w.createOne(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(nadv1.SchemeGroupVersion.WithKind("NetworkAttachmentDefinition"))
	if err := w.api.Get(t.Context(), client.ObjectKeyFromObject(made), stored); err != nil {
		t.Fatal(err)
	}
	config, _, _ := unstructured.NestedString(stored.Object, "spec", "config")
	net, err := attach.ParseNetwork(c.NADName(), config, stored.GetAnnotations())
	if err != nil {
		t.Fatal(err)
	}
	e.networks[net.Name] = net
	e.candidates = append(e.candidates, multus.Candidate{Config: c})
}

// wantInjected wants the pod that asks to get what the other one spells out.
func (e *example) wantInjected(t *testing.T) {
	t.Helper()
	inj, err := multus.Inject(multus.Pod{Namespace: "team-a", Annotations: e.asking.Annotations}, multus.Namespaces{}, e.candidates)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, json.RawMessage(e.spelled.Annotations[attach.NetworksAnnotation]), json.RawMessage(inj.Networks))
	limits := map[string]int64{}
	for name, n := range e.spelled.Spec.Containers[0].Resources.Limits {
		limits[string(name)] = n.Value()
	}
	injected := map[string]int64{}
	for _, r := range inj.Resources {
		injected[r.Name] = r.Count
	}
	if diff := cmp.Diff(limits, injected); diff != "" {
		t.Error(diff)
	}
	elements, err := attach.ParseAnnotation("team-a", inj.Networks)
	if err != nil || len(elements) != 8 {
		t.Fatalf("%+v, %v", elements, err)
	}
	for i, el := range elements {
		if _, known := e.networks[el.Network]; !known || el.Interface != fmt.Sprintf("net%d", i+1) || el.Network.Name != fmt.Sprintf("gpu%d-sriov", i+1) {
			t.Errorf("element %d: %+v", i+1, el)
		}
	}
}

func template(t *testing.T, u *unstructured.Unstructured) (p corev1.PodTemplateSpec) {
	t.Helper()
	m, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(m, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sameJSON compares two values by what they are in JSON.
func sameJSON(t *testing.T, want, got any) {
	t.Helper()
	plain := func(v any) (p any) {
		text, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(text, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Error(diff)
	}
}

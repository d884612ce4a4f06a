package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/admission/broken"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func TestABrokenNetworkIsRefusedAtTheDoorWithItsMend(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.start("--pkey-scope=0x1-0x7000")
	all := broken.Networks()
	all["outside the scope"] = broken.Network{Config: broken.Keyed(`"0x7001"`), Mend: "choose one inside, or widen --pkey-scope"}
	all["outside by also"] = broken.Network{
		Config: broken.Keyed(`"0x5"`), Annotations: map[string]string{attach.AlsoAnnotation: "0x7001"}, Mend: "choose one inside",
	}
	all["a guid for every pod"] = broken.Network{
		Config: `{"type":"ib-sriov","args":{"cni":{"guid":"02:00:00:00:00:00:00:01"}}}`, Mend: "pin a GUID in the pod's networks annotation",
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			bad := all[name]
			nad := w.nad("bad", bad.Config, bad.Annotations)
			refused(t, w.api.Create(w.ctx(), nad), bad.Mend)
			// A sound one cannot become it.
			good := w.nad("good-"+strings.ReplaceAll(strings.ToLower(name), " ", "-"), infiniBand("0x5"), nil)
			if err := w.api.Create(w.ctx(), good); err != nil {
				t.Fatal(err)
			}
			good.Spec.Config, good.Annotations = bad.Config, bad.Annotations
			refused(t, w.api.Update(w.ctx(), good), bad.Mend)
		})
	}
}

func TestNetworksOfOthersPassAndALabelMakesOneOurs(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.start()
	for name, config := range map[string]string{
		"a-bridge": `{"type":"bridge","pkey":"1000"}`, "a-file": "", "a-chain": `{"plugins":[{"type":"macvlan"},{"type":"sbr"}]}`,
	} {
		if err := w.api.Create(w.ctx(), w.nad(name, config, nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := w.nad("foreign", broken.Keyed(`"1000"`), nil)
	foreign.Labels = map[string]string{"fabric": "another"}
	if err := w.api.Create(w.ctx(), foreign); err != nil {
		t.Fatalf("another fabric's network: %v", err)
	}
	foreign.Labels["fabric"] = w.ns
	refused(t, w.api.Update(w.ctx(), foreign), "did you mean 0x3e8")
}

// What was made before admission, and would be refused now, can be let go all the same.
func TestABrokenNetworkThatIsThereCanBeLabelledAndLetGo(t *testing.T) {
	w := newWorld(t)
	old := w.nad("old", broken.Keyed(`"1000"`), nil)
	old.Finalizers = []string{"example.com/keep"}
	if err := w.api.Create(w.ctx(), old); err != nil {
		t.Fatal(err)
	}
	w.install()
	w.start()
	old.Labels["team"] = "a"
	if err := w.api.Update(w.ctx(), old); err != nil {
		t.Errorf("a label: %v", err)
	}
	old.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"}
	if err := w.api.Update(w.ctx(), old); err != nil {
		t.Errorf("an annotation that nobody reads: %v", err)
	}
	touched := old.DeepCopy()
	touched.Annotations[attach.MembershipAnnotation] = "limited"
	refused(t, w.api.Update(w.ctx(), touched), "did you mean 0x3e8")
	if err := w.api.Delete(w.ctx(), old); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Get(w.ctx(), client.ObjectKeyFromObject(old), old); err != nil {
		t.Fatal(err)
	}
	old.Finalizers = nil
	if err := w.api.Update(w.ctx(), old); err != nil {
		t.Errorf("a finalizer: %v", err)
	}
}

func TestAPKeyThatTheNamespaceIsNotGrantedIsRefused(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.start()
	part := &v1alpha1.Partition{
		ObjectMeta: metav1.ObjectMeta{Name: w.ns, Labels: map[string]string{"fabric": w.ns}},
		Spec: v1alpha1.PartitionSpec{
			PKey: "0x30", Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"tenant": "a"}},
		},
	}
	if err := w.api.Create(w.ctx(), part); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.api.Delete(context.Background(), part) })
	byNumber := w.nad("by-number", infiniBand("0x30"), nil)
	byName := w.nad("by-name", `{"type":"ib-sriov"}`, map[string]string{attach.PartitionAnnotation: w.ns})
	besides := w.nad("besides", infiniBand("0x5"), map[string]string{attach.AlsoAnnotation: w.ns})
	testbed.Eventually(t, "the Partition is known", func() (bool, string) {
		err := w.api.Create(w.ctx(), byNumber, client.DryRunAll)
		return err != nil, ""
	})
	for _, nad := range []client.Object{byNumber, byName, besides} {
		refused(t, w.api.Create(w.ctx(), nad.DeepCopyObject().(client.Object)), "ask its owner for a label that spec.namespaces selects")
	}
	early := w.nad("early", `{"type":"ib-sriov"}`, map[string]string{attach.PartitionAnnotation: "not-there-yet"})
	if err := w.api.Create(w.ctx(), early); err != nil {
		t.Errorf("a network may come before its Partition: %v", err)
	}
	grant := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"tenant":"a"}}}`))
	if err := w.api.Patch(w.ctx(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}, grant); err != nil {
		t.Fatal(err)
	}
	for _, nad := range []client.Object{byNumber, byName, besides} {
		testbed.Eventually(t, nad.GetName()+" passes with the grant", func() (bool, string) {
			err := w.api.Create(w.ctx(), nad.DeepCopyObject().(client.Object), client.DryRunAll)
			return err == nil, fmt.Sprint(err)
		})
	}
}

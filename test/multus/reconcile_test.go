package multus

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/test/rig"
)

const rail = `{cniType: ib-sriov, disableIPAM: true, ibsriov: {resourceName: spidernet.io/gpu1sriov, pkey: "0x1000"}}`

func TestANetworkComesChangesAndGoesWithItsConfig(t *testing.T) {
	w := newWorld(t)
	w.start("")
	u := w.config("gpu1-sriov", rail, "cni.spidernet.io/rdma-resource-inject", "gpu")
	nad := w.becomes("gpu1-sriov", `"pkey":"0x1000"`)
	yes := true
	want := metav1.ObjectMeta{
		Annotations: map[string]string{"cni.spidernet.io/rdma-resource-inject": "gpu", "k8s.v1.cni.cncf.io/resourceName": "spidernet.io/gpu1sriov"},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: multus.APIVersion, Kind: multus.Kind, Name: "gpu1-sriov", UID: u.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes,
		}},
	}
	if diff := cmp.Diff(want, metav1.ObjectMeta{Annotations: nad.Annotations, OwnerReferences: nad.OwnerReferences}); diff != "" {
		t.Error(diff)
	}

	w.config("gpu1-sriov", strings.Replace(rail, "0x1000", "0x2000", 1))
	if nad = w.becomes("gpu1-sriov", `"pkey":"0x2000"`); len(nad.Annotations) != 1 {
		t.Errorf("an annotation that left the config stays on the network: %v", nad.Annotations)
	}

	w.deleteConfig("gpu1-sriov")
	w.goes("gpu1-sriov")
}

func TestAnAnnotationNamesTheNetwork(t *testing.T) {
	w := newWorld(t)
	w.start("")
	w.config("rail", rail)
	w.becomes("rail", "ib-sriov")
	w.config("rail", rail, "multus.spidernet.io/cr-name", "first-rail", "multus.spidernet.io/cni-version", "1.0.0", "cni.spidernet.io/cniconfig-name", "inside")
	w.becomes("first-rail", `{"cniVersion":"1.0.0","name":"inside"`)
	w.goes("rail")
	w.deleteConfig("rail")
	w.goes("first-rail")
}

func TestWhatSomebodyDidToANetworkIsSetRight(t *testing.T) {
	w := newWorld(t)
	w.start("")
	w.config("rail", rail, "ibfabric.io/also", "0x20:limited")
	w.becomes("rail", "0x1000")
	for name, change := range map[string]func(*nadv1.NetworkAttachmentDefinition){
		"another pkey": func(n *nadv1.NetworkAttachmentDefinition) {
			n.Spec.Config = strings.Replace(n.Spec.Config, "0x1000", "0x3000", 1)
		},
		"a doubled pkey": func(n *nadv1.NetworkAttachmentDefinition) {
			n.Spec.Config = strings.Replace(n.Spec.Config, `"pkey"`, `"pkey":"0x3000","pkey"`, 1)
		},
		"a partition more":   func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations["ibfabric.io/also"] = "0x20:limited,0x3000" },
		"another membership": func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations["ibfabric.io/membership"] = "limited" },
		"no annotations":     func(n *nadv1.NetworkAttachmentDefinition) { n.Annotations = nil },
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.lines("network.changed"))
			w.edit("rail", change)
			w.logged("network.changed", before+1)
			nad := w.becomes("rail", `"plugins":[{"type":"ib-sriov","pkey":"0x1000",`)
			if diff := cmp.Diff(map[string]string{"ibfabric.io/also": "0x20:limited", "k8s.v1.cni.cncf.io/resourceName": "spidernet.io/gpu1sriov"}, nad.Annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
	if err := w.api.Delete(t.Context(), w.nad("rail")); err != nil {
		t.Fatal(err)
	}
	w.logged("network.made", 2)
	w.becomes("rail", "0x1000")
}

func TestWhoUndoesItAllTheTimeIsAnsweredEverMoreSeldom(t *testing.T) {
	w := newWorld(t)
	f := w.front()
	w.start(f.kubeconfig)
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	before := len(f.of("network-attachment-definitions"))
	// A tool that knows the network from elsewhere, and has no patience either.
	other := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer close(other)
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"from":"elsewhere"}}}`))
		for ctx.Err() == nil {
			_ = w.api.Patch(ctx, &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "rail"}}, patch)
		}
	}()
	defer func() { stop(); <-other }()
	w.told("rail", "NetworkWarned", "somebody else changes network rail each time", "--show-managed-fields")
	w.idle()
	// Some at once, and some more with ever longer waits between.
	if writes := f.of("network-attachment-definitions")[before:]; len(writes) < 8 || len(writes) > 24 {
		t.Errorf("%d writes", len(writes))
	}
	w.config("rail", strings.Replace(rail, "0x1000", "0x2000", 1))
	w.becomes("rail", "0x2000")
}

func TestLabelsOfAConfigAreItsNetworksBesideThoseOfOthers(t *testing.T) {
	w := newWorld(t)
	w.start("")
	label := func(labels map[string]string) {
		t.Helper()
		set := func(u *unstructured.Unstructured) { u.SetLabels(labels) }
		if err := rig.Edit(t.Context(), w.api, w.config("rail", rail), set); err != nil {
			t.Fatal(err)
		}
	}
	label(map[string]string{"fabric": "compute", "team": "a"})
	w.has("rail", map[string]string{"fabric": "compute", "team": "a"})
	w.edit("rail", func(n *nadv1.NetworkAttachmentDefinition) { n.Labels["by-hand"] = "x"; n.Labels["fabric"] = "storage" })
	w.has("rail", map[string]string{"fabric": "compute", "team": "a", "by-hand": "x"})
	label(map[string]string{"fabric": "compute"})
	w.has("rail", map[string]string{"fabric": "compute", "by-hand": "x"})
}

func TestANetworkOfSomebodyElseIsNeverTakenOver(t *testing.T) {
	w := newWorld(t)
	const hands = `{"type":"macvlan"}`
	w.rig.Bed.CreateNAD(t, w.ns, "rail", hands, map[string]string{"by": "hand"})
	w.start("")
	w.config("rail", rail)
	w.told("rail", "NetworkRefused", "network rail: ", "is not of this SpiderMultusConfig; it is left alone", "delete it, or give the config another name by multus.spidernet.io/cr-name")
	w.config("twin", rail, "multus.spidernet.io/cr-name", "second")
	w.becomes("second", "0x1000")
	w.config("other", strings.Replace(rail, "0x1000", "0x2000", 1), "multus.spidernet.io/cr-name", "second")
	w.told("other", "NetworkRefused", "network second: ")
	w.deleteConfig("rail")
	w.deleteConfig("other")
	w.deleteConfig("twin")
	w.goes("second")
	if nad := w.nad("rail"); nad == nil || nad.Spec.Config != hands || nad.Annotations["by"] != "hand" || len(nad.OwnerReferences) > 0 {
		t.Errorf("%+v", nad)
	}
	// The way is free as soon as it is gone.
	w.config("rail", rail)
	if err := w.api.Delete(t.Context(), w.nad("rail")); err != nil {
		t.Fatal(err)
	}
	w.becomes("rail", "0x1000")
}

func TestABrokenConfigIsToldOnceAndItsNetworkStaysUntilItIsMended(t *testing.T) {
	w := newWorld(t)
	w.start("")
	w.config("new", strings.Replace(rail, `"0x1000"`, `"1000"`, 1))
	w.told("new", "NetworkRefused", "spec.ibsriov.pkey", "did you mean 0x3e8", "until then no network comes of it")

	w.config("rail", strings.Replace(rail, "0x1000", "0x2000", 1))
	w.becomes("rail", "0x2000")
	w.config("rail", rail)
	before := w.becomes("rail", "0x1000") // changed, not made: the controller's cache has it
	w.config("rail", strings.Replace(rail, "0x1000", "0x9000", 1))
	w.told("rail", "NetworkRefused", "spec.ibsriov.pkey", "until then network rail stays as it was made before")
	w.config("rail", strings.Replace(rail, "0x1000", "0x9000", 1), "seen", "again") // an event that changes nothing
	w.config("marker", rail)
	w.becomes("marker", "0x1000")
	if after := w.nad("rail"); after == nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("it did not stay: %+v", after)
	}
	// The log tells of each time; of Events that are alike the API server has one.
	if all := w.lines("config.refused"); len(all) != 2 || len(w.events("rail")) != 1 {
		t.Errorf("told otherwise than once: %q, %q", all, w.events("rail"))
	}

	w.config("rail", strings.Replace(rail, "0x1000", "0x2000", 1))
	w.becomes("rail", "0x2000")
	w.config("new", strings.Replace(rail, `"0x1000"`, "1000", 1))
	w.becomes("new", `"pkey":"0x3e8"`)
	w.told("new", "NetworkWarned", "spec.ibsriov.pkey: the number 1000 is taken by its value", `write "0x3e8"`)
}

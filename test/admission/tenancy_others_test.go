package admission

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/multus"
)

func asJSON(value any) []byte {
	text, _ := json.Marshal(value) // maps of texts
	return text
}

func otherPaths() map[string]path {
	const rbac = "forbidden"
	return map[string]path{
		"spidermultusconfig with the pkey": {
			try: byConfig(map[string]any{"cniType": "ib-sriov", "disableIPAM": true, "ibsriov": map[string]any{"resourceName": "x/vf", "pkey": "0x30"}}), told: askForAGrant,
		},
		"spidermultusconfig with a guid": {
			try:  byConfig(map[string]any{"cniType": "custom", "customCNI": `{"cniVersion":"0.3.1","type":"ib-sriov","guid":"GUID"}`}),
			told: pinInThePod, open: true,
		},
		"claim that copies a's network": {try: byClaim("TENANT/net"), told: "claims may not copy networks of namespace", toldToo: "claims may not copy networks of namespace"},
		"partition of its own":          {try: makesPartition, refused: rbac},
		"partition that grants it":      {try: changesPartition, refused: rbac},
		"row in the ledger":             {try: writesLedger, refused: rbac},
		"label on its namespace":        {try: labelsNamespace, refused: rbac},
	}
}

// byConfig makes a SpiderMultusConfig, and a pod on the network that comes of it.
func byConfig(spec map[string]any) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(asJSON(spec)), "GUID", x.guidA.String())), &spec); err != nil {
			return err
		}
		u.Object["spec"] = spec
		u.SetGroupVersionKind(multus.GVR().GroupVersion().WithKind(multus.Kind))
		u.SetNamespace(x.b)
		u.SetName(name)
		u.SetLabels(map[string]string{"fabric": x.ns})
		if err := x.bob.Create(x.ctx(), u); err != nil {
			return err
		}
		return x.bob.Create(x.ctx(), x.thief(name, name))
	}
}

func byClaim(from string) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		claim := &v1alpha1.PartitionClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: x.b, Name: name, Labels: map[string]string{"fabric": x.ns}},
			Spec:       v1alpha1.PartitionClaimSpec{Networks: []v1alpha1.ClaimNetwork{{From: x.say(from), Name: name}}},
		}
		if err := x.bob.Create(x.ctx(), claim); err != nil {
			return err
		}
		return x.bob.Create(x.ctx(), x.thief(name, name))
	}
}

func makesPartition(x *tenants, name string) error {
	return x.bob.Create(x.ctx(), &v1alpha1.Partition{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"fabric": x.ns}},
		Spec:       v1alpha1.PartitionSpec{PKey: keyOfA.String(), Namespaces: &metav1.LabelSelector{}},
	})
}

func changesPartition(x *tenants, _ string) error {
	all := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"namespaces":{"matchLabels":null}}}`))
	return x.bob.Patch(x.ctx(), &v1alpha1.Partition{ObjectMeta: metav1.ObjectMeta{Name: x.ns}}, all)
}

func writesLedger(x *tenants, name string) error {
	return x.bob.Create(x.ctx(), &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Namespace: x.ns, Name: name}})
}

func labelsNamespace(x *tenants, _ string) error {
	return relabel(x.ctx(), x.bob, x.b, "tenant", x.a)
}

func relabel(ctx context.Context, who client.Client, namespace, key, value string) error {
	patch := client.RawPatch(types.MergePatchType, asJSON(map[string]any{"metadata": map[string]any{"labels": map[string]string{key: value}}}))
	return who.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch)
}

// A Role counts for the Namespace object of its namespace too. Who holds "*" in there chooses
// its own labels, but not the one that the API server keeps.
func TestWhoMayLabelItsNamespaceCannotTakeAnothersName(t *testing.T) {
	w := newWorld(t)
	x := &tenants{world: w, a: w.bed.Namespace(t), b: w.bed.Namespace(t)}
	lord := x.tenant("lord", []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}})
	if err := relabel(x.ctx(), lord, x.b, "tenant", x.a); err != nil {
		t.Errorf("the docs warn of what is not so: %v", err)
	}
	if err := relabel(x.ctx(), lord, x.a, "tenant", x.b); !apierrors.IsForbidden(err) {
		t.Errorf("a label on another's namespace: %v", err)
	}
	err := relabel(x.ctx(), lord, x.b, corev1.LabelMetadataName, x.a)
	var ns corev1.Namespace
	if getErr := x.api.Get(x.ctx(), types.NamespacedName{Name: x.b}, &ns); getErr != nil || ns.Labels[corev1.LabelMetadataName] != x.b {
		t.Errorf("namespace %s is called %s (%v, %v)", x.b, ns.Labels[corev1.LabelMetadataName], err, getErr)
	}
}

// The policy lets a pod at the gate name a GUID, since there it is judged: not while nobody
// looks who put the gate there.
func TestWithTheControllerAwayNobodyBringsTheGateAlong(t *testing.T) {
	w := newWorld(t)
	w.install()
	p := w.start()
	w.network("rail1", "0x5")
	p.Kill()
	thief := w.draft("thief", `[{"name":"rail1"},{"name":"other","infiniband-guid":"02:00:00:00:00:00:00:01"}]`, gatedBy(w.gate()))
	refused(t, w.api.Create(w.ctx(), thief), "self-gated.pods.ibfabric.io")
	if err := w.api.Create(w.ctx(), w.draft("honest", "rail1", gatedBy(w.gate()))); err != nil {
		t.Errorf("one that names no GUID: %v", err)
	}
}

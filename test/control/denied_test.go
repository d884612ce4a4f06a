package control

import (
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// Somebody who has a say at the API server will not have what the controller writes.

// denies has a policy refuse an operation on a kind of this world's namespace, from when it is
// returned until lift is called. probe is a write that it refuses.
func (w *world) denies(rule admissionv1.Rule, op admissionv1.OperationType, probe func() error) (lift func()) {
	w.t.Helper()
	name := "no-" + rule.Resources[0] + "-" + w.ns
	api, forbidden := w.bed.Client().AdmissionregistrationV1(), metav1.StatusReasonForbidden
	_, err := api.ValidatingAdmissionPolicies().Create(w.ctx(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{op}, Rule: rule},
			}}},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "the auditors are in the house", Reason: &forbidden}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = api.ValidatingAdmissionPolicyBindings().Create(w.ctx(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.ns}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	lift = func() {
		_ = api.ValidatingAdmissionPolicyBindings().Delete(w.ctx(), name, metav1.DeleteOptions{})
		_ = api.ValidatingAdmissionPolicies().Delete(w.ctx(), name, metav1.DeleteOptions{})
	}
	w.t.Cleanup(lift)
	testbed.Eventually(w.t, "the policy works", func() (bool, string) {
		err := probe()
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
	return lift
}

func TestAPodHearsThatItMayNotBeChanged(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	w.pod("other", "")
	lift := w.denies(admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}, admissionv1.Update, func() error {
		return w.api.Patch(w.ctx(), w.get("other"), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
	})
	w.start()
	w.pod("a", "rail1")
	w.event("a", "FabricWaiting", "the auditors are in the house")
	w.notConfigured("a")
	lift()
	w.configured("a")
}

func TestAPodHearsThatItsGUIDCannotBeStored(t *testing.T) {
	w := newWorld(t)
	w.network("rail1", "0x5")
	lift := w.denies(admissionv1.Rule{APIGroups: []string{"ibfabric.io"}, APIVersions: []string{"*"}, Resources: []string{"ledgers"}}, admissionv1.Create, func() error {
		shard := &v1alpha1.Ledger{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.ns}, Spec: v1alpha1.LedgerSpec{Rows: []v1alpha1.LedgerRow{}}}
		return w.api.Create(w.ctx(), shard, client.DryRunAll)
	})
	w.network("bare", "")
	w.start()
	w.pod("a", "rail1")
	w.pod("b", "bare") // without a partition
	w.event("a", "FabricWaiting", "the auditors are in the house")
	w.event("b", "FabricWaiting", "the auditors are in the house")
	w.inUFM(0x5)
	lift()
	w.configured("a")
	w.configured("b")
}

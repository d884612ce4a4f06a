package doctor

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

func now() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// healthy is a cluster of two nodes with nothing to mend.
func healthy() Facts {
	f := Facts{
		Fabric: "ib",
		SM:     &SM{Default: "limited"},
		UFM: []Server{{Host: "ufm1", Certs: []*x509.Certificate{{
			Subject: pkix.Name{CommonName: "ufm1"}, DNSNames: []string{"ufm1"}, NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(1, 0, 0),
		}}}},
	}
	for _, name := range []string{"ledgers.ibfabric.io", "journals.ibfabric.io", "partitions.ibfabric.io", "partitionclaims.ibfabric.io", nadCRD} {
		f.CRDs.Value = append(f.CRDs.Value, apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status:     apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}},
		})
	}
	f.DaemonSets.Value = []appsv1.DaemonSet{daemon("kube-system", "kube-multus-ds", "ghcr.io/k8snetworkplumbingwg/multus-cni:stable"), daemon("sriov", "sriov-device-plugin", "x")}
	for _, name := range []string{"gpu-1", "gpu-2"} {
		f.Nodes.Value = append(f.Nodes.Value, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/os": "linux"}},
			Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{"cpu": resource.MustParse("40"), "nvidia.com/ib_vfs": resource.MustParse("12")}},
		})
		u := unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": "sriov", "name": name}}}
		setStatus(&u, "Succeeded", "")
		f.States.Value = append(f.States.Value, u)
	}
	f.Policies.Value = []unstructured.Unstructured{policy("first")}
	f.Networks.Value = []nadv1.NetworkAttachmentDefinition{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "ib", Annotations: map[string]string{resourceAnnotation: "nvidia.com/ib_vfs"}},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: `{"type":"ib-sriov","pkey":"0x1000"}`},
	}}
	f.Incumbents.Value = []appsv1.Deployment{{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "ib-kubernetes"}}}
	f.Validating.Value = []admissionv1.ValidatingWebhookConfiguration{{ObjectMeta: metav1.ObjectMeta{Name: "ibfabric-webhook"}, Webhooks: []admissionv1.ValidatingWebhook{{Name: networksHook, ClientConfig: hooks("ibfabric-webhook", []byte("ca"))}}}}
	f.Mutating.Value = []admissionv1.MutatingWebhookConfiguration{{ObjectMeta: metav1.ObjectMeta{Name: "zz-ibfabric-webhook"}, Webhooks: []admissionv1.MutatingWebhook{{Name: podsHook, ClientConfig: hooks("ibfabric-webhook", []byte("ca"))}}}}
	for _, name := range []string{"ibfabric-pods", "ibfabric-bindings"} {
		f.Admission.Value = append(f.Admission.Value, admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}})
		f.Bindings.Value = append(f.Bindings.Value, admissionv1.ValidatingAdmissionPolicyBinding{Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name}})
	}
	f.Overview.Value = api.Overview{
		Fabric: "ib", Namespace: "kube-system", InSync: true, Members: api.Counts{Desired: 2, Actual: 2},
		Leader: api.Leader{Identity: "controller-0_1", Since: now().Add(-time.Hour), Adopted: true},
		UFM:    api.UFM{Target: "https://ufm1", Shows: true, Reads: api.Health{OK: true}, Writes: api.Health{OK: true}, Full: api.FullRead{At: now().Add(-20 * time.Second)}},
	}
	return f
}

func daemon(namespace, name, image string) appsv1.DaemonSet {
	d := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, NumberReady: 2}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Image: image}}
	return d
}

func policy(name string) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": "sriov", "name": name},
		"spec": map[string]any{
			"nodeSelector": map[string]any{"kubernetes.io/os": "linux"}, "nicSelector": map[string]any{"rootDevices": []any{"0000:86:00.0"}},
		},
	}}
}

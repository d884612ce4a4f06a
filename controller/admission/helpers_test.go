package admission

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/ibfabric/ibfabric/controller/attach"
)

const gateName = "ibfabric.io/fabric"

// nads is a cache of NADs by namespace/name; with err it cannot be read.
type nads struct {
	by  map[string]*nadv1.NetworkAttachmentDefinition
	err error
}

func (n nads) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if n.err != nil {
		return n.err
	}
	found, ok := n.by[key.String()]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "network-attachment-definitions"}, key.Name)
	}
	found.DeepCopyInto(obj.(*nadv1.NetworkAttachmentDefinition))
	return nil
}

func (nads) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists NADs")
}

func nad(namespace, name, config string, labelled ...string) *nadv1.NetworkAttachmentDefinition {
	n := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	n.Spec.Config = config
	for i := 0; i+1 < len(labelled); i += 2 {
		n.Labels = map[string]string{labelled[i]: labelled[i+1]}
	}
	return n
}

func cacheOf(list ...*nadv1.NetworkAttachmentDefinition) nads {
	n := nads{by: map[string]*nadv1.NetworkAttachmentDefinition{}}
	for _, one := range list {
		n.by[one.Namespace+"/"+one.Name] = one
	}
	return n
}

// compute is the selector of the fabric under test: NADs that say they are another's are.
func compute(t testing.TB) labels.Selector {
	t.Helper()
	s, err := labels.Parse("fabric notin (storage)")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pod(networks string, edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "train"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
	}
	if networks != "" {
		p.Annotations = map[string]string{attach.NetworksAnnotation: networks}
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func create(t testing.TB, namespace string, object any) admission.Request {
	t.Helper()
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Namespace: namespace, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: marshal(t, object)},
	}}
}

func update(t testing.TB, namespace string, old, object any) admission.Request {
	t.Helper()
	req := create(t, namespace, object)
	req.Operation, req.OldObject = admissionv1.Update, runtime.RawExtension{Raw: marshal(t, old)}
	return req
}

// apply is a pod as the API server would have it after the answer.
func apply(t testing.TB, raw []byte, answer admission.Response) *corev1.Pod {
	t.Helper()
	if !answer.Allowed {
		t.Fatalf("it was refused: %s", answer.Result.Message)
	}
	if len(answer.Patches) > 0 {
		patch, err := jsonpatch.DecodePatch(marshal(t, answer.Patches))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = patch.Apply(raw); err != nil {
			t.Fatalf("the API server would not take the patch: %v", err)
		}
	}
	var p corev1.Pod
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

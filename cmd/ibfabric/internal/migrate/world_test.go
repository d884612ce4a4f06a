package migrate

import (
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func now() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// password is in every world, and never in what is said.
const password = "pa55word_of_ufm"

// testCert is a certificate that names ufm.example.com.
func testCert() string { return certificates().named }

func absentErr() error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, "thing")
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// standalone is a cluster with ib-kubernetes by its own manifests, two nodes, and pods of
// each kind.
func standalone() Facts {
	f := common("kube-system")
	f.Incumbents.Value = []appsv1.Deployment{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "ib-kubernetes"},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "ib-kubernetes", Env: env(),
		}}}}},
		Status: appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1},
	}}
	f.ConfigMaps[key("kube-system", "ib-kubernetes-config")] = Fact[Map]{Value: Map{
		smPlugin: "ufm", periodic: "5", rangeStart: "02:00:00:00:00:00:00:00", rangeEnd: "02:00:00:00:00:00:FF:FF",
	}}
	f.Secrets[key("kube-system", "ib-kubernetes-ufm-secret")] = Fact[Secret]{Value: newSecret(secret())}
	return f
}

func env() (list []corev1.EnvVar) {
	list = append(list, corev1.EnvVar{Name: "K8S_NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}})
	for _, name := range []string{smPlugin, periodic, rangeStart, rangeEnd} {
		list = append(list, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "ib-kubernetes-config"}, Key: name}}})
	}
	for _, name := range []string{ufmUsername, ufmPassword, ufmAddress, ufmScheme, ufmPort, ufmCertificate} {
		list = append(list, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "ib-kubernetes-ufm-secret"}, Key: name}}})
	}
	return list
}

func secret(edit ...func(map[string][]byte)) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{
		ufmUsername: []byte("admin"), ufmPassword: []byte(password), ufmAddress: []byte("ufm.example.com"), ufmCertificate: []byte(testCert()),
	}}
	for _, e := range edit {
		e(s.Data)
	}
	return s
}

// operated is the same by network-operator.
func operated() Facts {
	f := common("nvidia-network-operator")
	f.Policies = Fact[[]unstructured.Unstructured]{Value: []unstructured.Unstructured{policy(map[string]any{
		"ofedDriver": map[string]any{"image": "doca-driver"},
		"ibKubernetes": map[string]any{
			"image": "ib-kubernetes", "repository": "nvcr.io/nvidia/mellanox", "version": "v1.1.1", "imagePullSecrets": []any{},
			"periodicUpdateSeconds": int64(60), "pKeyGUIDPoolRangeStart": "02:00:00:00:00:00:00:00", "pKeyGUIDPoolRangeEnd": "02:FF:FF:FF:FF:FF:FF:FF",
			"ufmSecret": "ufm-secret",
		},
		"secondaryNetwork": map[string]any{"multus": map[string]any{}, "ipoib": map[string]any{}, "cniPlugins": map[string]any{}},
		"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{
			map[string]any{"matchExpressions": []any{map[string]any{"key": "feature.node.kubernetes.io/pci-15b3.present", "operator": "In", "values": []any{"true"}}}},
		}}},
	})}}
	f.Incumbents.Value = []appsv1.Deployment{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "nvidia-network-operator", Name: "ib-kubernetes"},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](1)},
		Status:     appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1},
	}}
	f.Secrets[key("nvidia-network-operator", "ufm-secret")] = Fact[Secret]{Value: newSecret(secret(func(d map[string][]byte) { d[ufmPort] = []byte("8443") }))}
	return f
}

func policy(spec map[string]any) unstructured.Unstructured {
	u := unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetName("nic-cluster-policy")
	return u
}

func common(namespace string) Facts {
	f := Facts{
		ConfigMaps: map[types.NamespacedName]Fact[Map]{}, Secrets: map[types.NamespacedName]Fact[Secret]{},
		Policies: Fact[[]unstructured.Unstructured]{Err: absentErr()}, Ledger: Fact[[]v1alpha1.LedgerRow]{Err: absentErr()},
	}
	f.Networks.Value = []nadv1.NetworkAttachmentDefinition{
		nad("rail1", `{"type":"ib-sriov","pkey":"0x10","ibKubernetesEnabled":true}`), nad("rail2", `{"type":"ib-sriov","pkey":"0x11","ibKubernetesEnabled":true}`),
		nad("roce", `{"plugins":[{"type":"sriov"},{"type":"rdma"}]}`),
	}
	f.Nodes.Value = []corev1.Node{node("gpu-1"), node("gpu-2"), {ObjectMeta: metav1.ObjectMeta{Name: "cpu-1"}}}
	f.Pods.Value = []corev1.Pod{
		pod("train-0", 1, configured("rail1", 1, "0x10")), pod("train-1", 2, configured("rail1", 2, "0x10")+","+configured("rail2", 3, "0x11")),
		pod("new-0", 3, `{"name":"rail1"}`), pod("web-0", 4, `{"name":"roce"}`),
		{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ib-kubernetes-x", Labels: map[string]string{"name": "ib-kubernetes"}}},
	}
	f.DaemonSets.Value = []appsv1.DaemonSet{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-ib-sriov-cni-ds-amd64"},
		Spec:       appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "ghcr.io/k8snetworkplumbingwg/ib-sriov-cni:v1.3.0"}}}}},
		Status:     appsv1.DaemonSetStatus{NumberReady: 2},
	}}
	return f
}

func nad(name, config string) nadv1.NetworkAttachmentDefinition {
	return nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: name, Annotations: map[string]string{resourceAnnotation: "nvidia.com/ib_vfs"}},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
}

func node(name string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{"nvidia.com/ib_vfs": resource.MustParse("8")}}}
}

func pod(name string, age int, elements string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "team-a", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(now().Add(time.Duration(age-100) * time.Minute)),
			Annotations: map[string]string{attach.NetworksAnnotation: "[" + elements + "]"},
		},
		Spec:   corev1.PodSpec{NodeName: "gpu-1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func configured(network string, n int, pkey string) string {
	return fmt.Sprintf(`{"name":%q,"cni-args":{"guid":"02:00:00:00:00:00:00:%02x","mellanox.infiniband.app":"configured","pkey":%q}}`, network, n, pkey)
}

// install puts ibfabric into a cluster.
func install(f *Facts, policy string) {
	f.Controllers.Value = []appsv1.Deployment{{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(), Name: "ibfabric-controller", Labels: map[string]string{nameLabel: ourController}},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Args: []string{"--fabric=fabric", "--sync-policy=" + policy},
		}}}}},
		Status: appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: 2},
	}}
	f.Ledger.Err = nil
	f.Overview = &Fact[api.Overview]{Value: api.Overview{
		Fabric: "fabric", Policy: policy, DryRun: policy == dryRun, GUIDs: []string{"02:00:00:00:00:00:00:00..02:00:00:00:00:00:ff:ff"},
		Leader: api.Leader{Blocked: "ib-kubernetes works"},
	}}
}

// stop ends ib-kubernetes, as its kind of installation does.
func stop(f *Facts) {
	if _, spec := f.policy(); spec != nil {
		f.Policies.Value = []unstructured.Unstructured{policy(map[string]any{"ofedDriver": map[string]any{}})}
		f.Incumbents.Value = nil
	} else {
		d := &f.Incumbents.Value[0]
		d.Spec.Replicas, d.Status = ptr.To[int32](0), appsv1.DeploymentStatus{}
	}
	f.Pods.Value = f.Pods.Value[:4]
	if f.Overview != nil {
		f.Overview.Value.Leader.Blocked, f.Overview.Value.Leader.Adopted = "", true
	}
}

// takeOver has ibfabric work, with what the pods have in its ledger.
func takeOver(f *Facts) {
	install(f, "sync")
	o := &f.Overview.Value
	o.Leader = api.Leader{Adopted: true}
	o.InSync, o.Members = true, api.Counts{Desired: 3, Actual: 3}
	for n, name := range []string{"", "train-0", "train-1", "train-1"} {
		if name != "" {
			f.Ledger.Value = append(f.Ledger.Value, v1alpha1.LedgerRow{GUID: fmt.Sprintf("02:00:00:00:00:00:00:%02x", n), State: v1alpha1.Assigned, Namespace: "team-a", Pod: name, PodUID: types.UID("uid-" + name)})
		}
	}
}

// move puts ibfabric's plugins onto nodes.
func move(f *Facts, nodes ...string) {
	f.DaemonSets.Value = append(f.DaemonSets.Value, appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(), Name: "ibfabric-node", Labels: map[string]string{nameLabel: ourNodes}}})
	for _, name := range nodes {
		f.Pods.Value = append(f.Pods.Value, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "ibfabric-node-" + name, Labels: map[string]string{nameLabel: ourNodes}},
			Spec:       corev1.PodSpec{NodeName: name}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
}

func leases(renewed time.Time) []coordinationv1.Lease {
	return []coordinationv1.Lease{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: theirLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("x"), LeaseDurationSeconds: ptr.To[int32](60), RenewTime: &metav1.MicroTime{Time: renewed}},
	}}
}

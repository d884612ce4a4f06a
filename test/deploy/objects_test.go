package deploy

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secondFabric is a release beside the first, with all that is off by default.
const secondFabric = `
fabric: storage
networkSelector: fabric=storage
crds: {install: false}
multusConfigs: {mode: "off"}
admission: {certificateSecret: webhook-tls, policies: {schedulers: ["system:serviceaccount:volcano-system:volcano-scheduler"]}}
ufm: {plugin: noop, address: "10.0.0.5,10.0.0.6", port: 8443}
guids: {start: "02:00:00:00:00:01:00:00", end: "02:00:00:00:00:01:ff:ff", hold: 5m}
image: {controllerDigest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullSecrets: [pull]}
controller: {replicas: 3, extraArgs: [--pod-workers=32], podAnnotations: {a: b}}
console: {certificateSecret: console-tls}
metrics: {plainPort: 8080}
networkPolicy:
  ufmCIDRs: [10.0.0.0/24]
  consoleFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
node: {foreign: replace, plugins: [ib-sriov], doctor: {enabled: false}, updateStrategy: {type: OnDelete}}
`

// tries has the API server judge every object of a release, in every field, without keeping
// one.
func (w *world) tries(objects []*unstructured.Unstructured) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.api.Create(w.ctx(), o.DeepCopy(), client.DryRunAll); err != nil {
			w.t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// restricted has the API server judge the controller's pod by the strictest of the Pod
// Security Standards.
func (w *world) restricted(objects []*unstructured.Unstructured) {
	w.t.Helper()
	w.make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}})
	try := func(change func(*corev1.PodSpec)) error {
		var d appsv1.Deployment
		find(w.t, objects, "Deployment", "ibfabric-controller", &d)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "restricted", Name: "controller"}, Spec: d.Spec.Template.Spec}
		change(&pod.Spec)
		return w.api.Create(w.ctx(), pod, client.DryRunAll)
	}
	if err := try(func(*corev1.PodSpec) {}); err != nil {
		w.t.Error(err)
	}
	if err := try(func(s *corev1.PodSpec) { s.HostNetwork = true }); err == nil {
		w.t.Error("the namespace takes any pod")
	}
}

// TestTheDefaultsAreWhatTheProgramsTake keeps the numbers of the chart and of the programs
// from parting: a port that nobody listens on is found by no dry run.
func TestTheDefaultsAreWhatTheProgramsTake(t *testing.T) {
	objects := render(t, "{}")
	var d appsv1.Deployment
	find(t, objects, "Deployment", "ibfabric-controller", &d)
	ports := map[string]int32{}
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, want := range map[string]int32{"health": 8081, "webhook": 9443, "console": 8443} {
		if ports[name] != want {
			t.Errorf("port %s is %d, and the controller's default is %d", name, ports[name], want)
		}
	}
	var node appsv1.DaemonSet
	find(t, objects, "DaemonSet", "ibfabric-node", &node)
	pod := node.Spec.Template.Spec
	if c := pod.InitContainers[0].SecurityContext; c.Privileged != nil && *c.Privileged {
		t.Error("installing a file needs no privileges")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("a node's pod has a token, and asks the API server nothing")
	}
}

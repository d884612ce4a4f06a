package takeover

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// report is what ibfabric migrate says, as a program of the user's reads it.
type report struct {
	OK    bool
	Found []struct{ What, Where, Seen string }
	Pods  struct {
		Configured, TakenOver, Waiting int
		Left                           []struct{ Pod, Interface, GUID, Why string }
	}
	Rows  []struct{ State, Check, Seen string }
	Steps []struct {
		Name, State string
		Do          []string
	}
	Values *struct {
		UFM   struct{ Secret, Plugin, Address string }
		GUIDs struct{ Start, End string }
	}
}

// next is the step to be done, and its commands.
func (r report) next() (name, do string) {
	for _, s := range r.Steps {
		if s.State == "next" {
			return s.Name, strings.Join(s.Do, "\n")
		}
	}
	return "", ""
}

// migrate calls the command, which must end with 0, or with 1 where something is to be
// mended.
func (w *world) migrate() (r report, text string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(filepath.Dir(shared.Rig(w.t).Program()), "ibfabric"),
		"--kubeconfig", w.bed.Kubeconfig(), "--controller-namespace", w.ns, "--fabric", "fabric", "--wait", "0", "migrate", "-o", "json")
	cmd.Env = programs.Environment()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() > 1 {
		w.t.Fatalf("%v: %s", err, errs.String())
	}
	text = out.String()
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
	if r.OK != (cmd.ProcessState.ExitCode() == 0) {
		w.t.Errorf("ok is %t, and the exit code %d", r.OK, cmd.ProcessState.ExitCode())
	}
	if strings.Contains(text, ufmPassword) {
		w.t.Error("the password is in what it said")
	}
	return r, text
}

// comesTo waits until the next step is a certain one.
func (w *world) comesTo(step string) (r report) {
	w.t.Helper()
	testbed.Eventually(w.t, "the next step is "+step, func() (bool, string) {
		var text string
		r, text = w.migrate()
		name, _ := r.next()
		return name == step, text
	})
	return r
}

// TestMigrateKnowsEachStage moves from the real ib-kubernetes to ibfabric by what the command
// says next.
func TestMigrateKnowsEachStage(t *testing.T) {
	peer := ibKubernetes(t)
	w := newWorld(t)
	w.makeNetworks()
	for i := range 25 {
		w.pod(podName(i), w.annotation(i))
	}
	theirs := w.ibKubernetes(peer)
	w.describe()
	w.configured()
	w.kubeletsSayRunning()

	r := w.comesTo("install")
	if _, do := r.next(); !strings.Contains(do, "--namespace "+w.ns+" -f values.yaml --set syncPolicy=dry-run") {
		t.Errorf("it installs with %s", do)
	}
	if r.Values == nil || r.Values.UFM.Secret != "ufm" || r.Values.UFM.Plugin != "ufm" || r.Values.GUIDs.End != "02:00:00:00:00:00:ff:ff" {
		t.Errorf("the values are %+v", r.Values)
	}
	if want := len(w.holdings(w.pods())); r.Pods.Configured != want || len(r.Pods.Left) > 0 || r.Pods.TakenOver > 0 {
		t.Errorf("of %d interfaces it sees %+v", want, r.Pods)
	}

	ours := w.install("dry-run")
	ours.says("incumbent.found")
	r = w.comesTo("stop")
	if _, do := r.next(); !strings.Contains(do, "kubectl -n "+w.ns+" scale deployment ib-kubernetes --replicas=0") {
		t.Errorf("it stops with %s", do)
	}
	w.runsByOperator(func() {
		r, text := w.migrate()
		if name, do := r.next(); name != "stop" || !strings.Contains(do, "kubectl patch nicclusterpolicies.mellanox.com ours") || strings.Contains(do, "scale deployment") {
			t.Errorf("beside network-operator it stops with %s:\n%s", do, text)
		}
	})

	w.scaleDown(theirs)
	w.replicas("ib-kubernetes", 0)
	before := w.picture()
	ours.says("leader.adopted")
	r = w.comesTo("take over")
	if r.Pods.TakenOver > 0 || w.ours.changes.Load() > 0 {
		t.Errorf("a dry run took over: %+v", r.Pods)
	}
	// Nobody gave these: a GUID of another range, and one that has an owner.
	w.pod("stranger", `[{"name":"red","cni-args":{"guid":"03:00:00:00:00:00:00:01","mellanox.infiniband.app":"configured","pkey":"0x10"}}]`)
	w.copyOf("p001", "copy")
	r, text := w.migrate()
	if len(r.Pods.Left) != 2 {
		t.Errorf("two are not to be taken over:\n%s", text)
	}

	ours.stop()
	ours = w.install("sync")
	ours.says("leader.adopted")
	for _, l := range r.Pods.Left {
		switch {
		case l.Pod == "stranger":
			ours.says("pod.refused", l.Why) // word by word
		case l.Pod == "copy" && strings.Contains(l.Why, "/p001's too"):
			ours.says("guid.conflict", l.GUID, "/p001's")
		default:
			t.Errorf("pod %s is left: %s", l.Pod, l.Why)
		}
	}
	w.delete("stranger", "copy")
	r = w.comesTo("nodes")
	if r.Pods.TakenOver != r.Pods.Configured || r.Pods.TakenOver != len(before.living()) || !r.OK {
		t.Errorf("it took over %+v of %d", r.Pods, len(before.living()))
	}
	w.unchangedSince(before)
}

// describe gives the Deployment of ib-kubernetes the settings that the process has, as its
// own manifests do.
func (w *world) describe() {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ufm"}, StringData: map[string]string{}}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ib-kubernetes-config"}, Data: map[string]string{}}
	var env []corev1.EnvVar
	for _, setting := range w.settings(w.theirs) {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case strings.HasPrefix(name, "UFM_"):
			secret.StringData[name] = value
			env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret.Name}, Key: name}}})
		case name != "KUBECONFIG" && name != "POD_NAMESPACE":
			config.Data[name] = value
			env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: config.Name}, Key: name}}})
		}
	}
	for _, o := range []client.Object{secret, config} {
		if err := w.api.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
	w.edit("ib-kubernetes", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Env = env })
}

func (w *world) replicas(deployment string, n int32) {
	w.t.Helper()
	w.edit(deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(n) })
}

func (w *world) edit(deployment string, edit func(*appsv1.Deployment)) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: deployment}}
	if err := rig.Edit(w.t.Context(), w.api, d, edit); err != nil {
		w.t.Fatal(err)
	}
}

// install starts ibfabric with a console, and makes the Deployment that the chart would.
func (w *world) install(policy string) *process {
	w.t.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "ibfabric-controller"}
	args := []string{"--sync-policy=" + policy}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ibfabric-controller", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "controller", Image: "none", Args: args}}},
			},
		},
	}
	err := w.api.Create(w.t.Context(), d)
	switch {
	case apierrors.IsAlreadyExists(err):
		w.edit(d.Name, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Args = args })
	case err != nil:
		w.t.Fatal(err)
	default:
		w.t.Cleanup(func() { w.gone(d) })
	}
	return w.ibfabricWith([]string{"--sync-policy=" + policy, "--console-address=127.0.0.1:0"})
}

// copyOf makes a pod of another's annotation, as somebody does who exports and imports pods.
func (w *world) copyOf(pod, name string) {
	w.t.Helper()
	w.pod(name, w.pods()[pod].Annotations[attach.NetworksAnnotation])
}

// runsByOperator has a NicClusterPolicy that runs ib-kubernetes, while f looks.
func (w *world) runsByOperator(f func()) {
	w.t.Helper()
	const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: nicclusterpolicies.mellanox.com}
spec:
  group: mellanox.com
  scope: Cluster
  names: {plural: nicclusterpolicies, singular: nicclusterpolicy, kind: NicClusterPolicy, listKind: NicClusterPolicyList}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
	if err := w.bed.Apply(w.t.Context(), []byte(definition)); err != nil {
		w.t.Fatal(err)
	}
	kind := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "nicclusterpolicies.mellanox.com"}}}
	defer w.gone(kind) // and the policy with it
	policy := []byte("apiVersion: mellanox.com/v1alpha1\nkind: NicClusterPolicy\nmetadata: {name: ours}\nspec: {ibKubernetes: {periodicUpdateSeconds: 5, ufmSecret: ufm}}\n")
	testbed.Eventually(w.t, "the API server serves NicClusterPolicies", func() (bool, string) {
		if err := w.bed.Apply(w.t.Context(), policy); err != nil {
			return false, err.Error()
		}
		r, text := w.migrate()
		return slices.ContainsFunc(r.Found, func(f struct{ What, Where, Seen string }) bool { return f.What == "network-operator" }), text
	})
	f()
}

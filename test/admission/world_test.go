package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/admission"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// world is one fabric: a namespace that is the controller's own and its tenants', a UFM,
// and admission as it is shipped.
type world struct {
	t    testing.TB
	rig  *rig.Rig
	bed  *testbed.Cluster
	api  client.Client // with every right; the policies hold for it too
	ns   string
	sim  *ufmsim.Sim
	ufm  *ufmsim.Server
	port int // of the webhooks
	logs []*rig.Log

	first *world // of a second fabric: the one that was there before
}

func newWorld(t testing.TB) *world {
	t.Helper()
	r := shared.Rig(t)
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	w := &world{t: t, rig: r, bed: r.Bed, ns: r.Bed.Namespace(t), sim: sim, ufm: srv, port: testbed.HoldPort(t)}
	w.api = w.clientOf(w.bed.Kubeconfig())
	t.Cleanup(w.showLogs)
	return w
}

// clientOf makes a client that answers refusals at once.
func (w *world) clientOf(kubeconfig string) client.Client {
	w.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.QPS = -1
	scheme, err := controller.Scheme()
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) ctx() context.Context { return w.t.Context() }

// nad is a network of this world's fabric.
func (w *world) nad(name, config string, annotations map[string]string) *nadv1.NetworkAttachmentDefinition {
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{"fabric": w.ns}, Annotations: annotations},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
}

func infiniBand(p string) string {
	return fmt.Sprintf(`{"cniVersion":"0.3.1","plugins":[{"type":"ib-sriov","pkey":%q,"ibKubernetesEnabled":true}]}`, p)
}

// network makes a network and waits until the webhooks know it, as anybody sees: a pod on
// it that is only tried would be gated.
func (w *world) network(name, p string) {
	w.t.Helper()
	if err := w.api.Create(w.ctx(), w.nad(name, infiniBand(p), nil)); err != nil {
		w.t.Fatal(err)
	}
	w.knows(name)
}

// newWorldWithARail has admission, a controller, and network rail1 in PKey 0x5.
func newWorldWithARail(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.install()
	w.start()
	w.network("rail1", "0x5")
	return w
}

// bridge makes a network that is not InfiniBand, named like that.
func (w *world) bridge() {
	w.t.Helper()
	if err := w.api.Create(w.ctx(), w.nad("bridge", `{"type":"bridge"}`, nil)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) knows(network string) {
	w.t.Helper()
	testbed.Eventually(w.t, "the webhooks know network "+network, func() (bool, string) {
		pod := w.draft("probe", network)
		err := w.api.Create(w.ctx(), pod, client.DryRunAll)
		return err == nil && w.isGated(pod), fmt.Sprint(err)
	})
}

func (w *world) gate() string { return "ibfabric.io/" + w.ns }

func (w *world) isGated(pod *corev1.Pod) bool {
	return slices.Contains(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: w.gate()})
}

// draft is a pod on networks, not made yet.
func (w *world) draft(name, networks string, edit ...func(*corev1.Pod)) *corev1.Pod {
	now, no := int64(0), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &now, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{Name: "main", Image: "none", ImagePullPolicy: corev1.PullNever}},
		},
	}
	if networks != "" {
		pod.Annotations = map[string]string{attach.NetworksAnnotation: networks}
	}
	for _, e := range edit {
		e(pod)
	}
	return pod
}

// pod makes one.
func (w *world) pod(name, networks string, edit ...func(*corev1.Pod)) *corev1.Pod {
	w.t.Helper()
	pod := w.draft(name, networks, edit...)
	if err := w.api.Create(w.ctx(), pod); err != nil {
		w.t.Fatalf("pod %s: %v", name, err)
	}
	return pod
}

func (w *world) get(name string) *corev1.Pod {
	w.t.Helper()
	var pod corev1.Pod
	if err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: name}, &pod); err != nil {
		w.t.Fatal(err)
	}
	return &pod
}

// wantGate wants a pod to stand at the gate, with the label.
func (w *world) wantGate(pod *corev1.Pod) {
	w.t.Helper()
	if !w.isGated(pod) || pod.Labels[admission.ManagedLabel] != "true" {
		w.t.Errorf("pod %s has gates %v and labels %v", pod.Name, pod.Spec.SchedulingGates, pod.Labels)
	}
}

// wantFree wants a pod to have come without gate and label.
func (w *world) wantFree(pod *corev1.Pod) {
	w.t.Helper()
	if _, labelled := pod.Labels[admission.ManagedLabel]; labelled || len(pod.Spec.SchedulingGates) > 0 {
		w.t.Errorf("pod %s has gates %v and labels %v", pod.Name, pod.Spec.SchedulingGates, pod.Labels)
	}
}

// configured waits until every network of a pod is, and returns the GUIDs.
func (w *world) configured(name string) (guids []guid.GUID) {
	w.t.Helper()
	testbed.Eventually(w.t, "pod "+name+" is configured", func() (bool, string) {
		text := w.get(name).Annotations[attach.NetworksAnnotation]
		elements, err := attach.ParseAnnotation(w.ns, text)
		guids = nil
		for _, e := range elements {
			if !e.Configured {
				return false, text
			}
			guids = append(guids, e.GUID)
		}
		return err == nil, text
	})
	return guids
}

// running waits until a pod has its node and runs there.
func (w *world) running(name string) {
	w.t.Helper()
	testbed.Eventually(w.t, "pod "+name+" runs", func() (bool, string) {
		pod := w.get(name)
		return pod.Spec.NodeName != "" && pod.Status.Phase == corev1.PodRunning, fmt.Sprint(pod.Spec.SchedulingGates, pod.Status.Conditions)
	})
}

// inUFM waits until UFM shows exactly these members.
func (w *world) inUFM(p pkey.PKey, want ...guid.GUID) {
	w.t.Helper()
	slices.Sort(want)
	testbed.Eventually(w.t, fmt.Sprintf("pkey %s has %d members", p, len(want)), func() (bool, string) {
		var have []guid.GUID
		for _, m := range w.sim.Members(p) {
			have = append(have, m.GUID)
		}
		return slices.Equal(have, want), fmt.Sprintf("it has %v, want %v", have, want)
	})
}

// refused wants an error that says something.
func refused(t testing.TB, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%.400v; want it to say %q", err, says)
	}
}

// as is a client of somebody with the rights of admin in this world's namespace.
func (w *world) as(user string) client.Client {
	w.t.Helper()
	file, err := w.bed.KubeconfigFor(user)
	if err != nil {
		w.t.Fatal(err)
	}
	w.grant(user, tenantRules())
	return w.clientOf(file)
}

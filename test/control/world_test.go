package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	user     = "admin"
	password = "s3cret-of-ufm"
)

// world is one fabric of a test: a namespace with networks and pods, a UFM, and the
// controllers that the test starts. Tests share the cluster; a label on the networks and
// the fabric's name keep them apart.
type world struct {
	t   testing.TB
	bed *testbed.Cluster
	api client.Client
	ns  string
	sim *ufmsim.Sim
	ufm *ufmsim.Server

	mu   sync.Mutex // protects logs
	logs []*bytes.Buffer
}

// newWorld makes a namespace and a UFM for a test, which runs beside others.
func newWorld(t testing.TB, edit ...func(*ufmsim.Config)) *world {
	t.Helper()
	if test, ok := t.(*testing.T); ok {
		test.Parallel()
	}
	return newWorldAlone(t, edit...)
}

// newWorldAlone is for tests that count what happens at a time, and want the machine to
// themselves.
func newWorldAlone(t testing.TB, edit ...func(*ufmsim.Config)) *world {
	t.Helper()
	return worldOn(t, shared.Rig(t).Bed, edit...)
}

func worldOn(t testing.TB, bed *testbed.Cluster, edit ...func(*ufmsim.Config)) *world {
	t.Helper()
	scheme, err := controller.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(bed.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	cfg := ufmsim.Config{Username: user, Password: password}
	for _, e := range edit {
		e(&cfg)
	}
	sim, err := ufmsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.Start(fmt.Sprintf("127.0.0.1:%d", testbed.HoldPort(t))) // its own also while it is stopped
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	w := &world{t: t, bed: bed, api: api, ns: bed.Namespace(t), sim: sim, ufm: srv}
	t.Cleanup(w.showLogs)
	return w
}

// showLogs prints what the controllers said when the test failed.
func (w *world) showLogs() {
	for i, text := range w.said() {
		if strings.Contains(text, "DATA RACE") {
			w.t.Errorf("controller %d has a data race", i+1)
		}
	}
	if !w.t.Failed() {
		return
	}
	for i, text := range w.said() {
		log, goroutines, _ := strings.Cut(text, "SIGQUIT: quit")
		said, at := strings.Split(log, "\n"), strings.Split(goroutines, "\n")
		w.t.Logf("controller %d said, at the end:\n%s", i+1, strings.Join(said[max(0, len(said)-60):], "\n"))
		w.t.Logf("and was at:\n%s", strings.Join(at[:min(60, len(at))], "\n"))
	}
}

// said is all that each controller wrote.
func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, b := range w.logs {
		all = append(all, b.String())
	}
	return all
}

// network makes a NAD; annotations are pairs.
func (w *world) network(name, pkeyText string, annotations ...string) {
	w.t.Helper()
	w.rawNetwork(name, fmt.Sprintf(`{"cniVersion":"0.3.1","name":%q,"plugins":[{"type":"ib-sriov","pkey":%q,"link_state":"enable","rdmaIsolation":true,"ibKubernetesEnabled":true}]}`, name, pkeyText), annotations...)
}

func (w *world) rawNetwork(name, config string, annotations ...string) {
	w.t.Helper()
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	says := func(n *nadv1.NetworkAttachmentDefinition) {
		n.Labels = map[string]string{"fabric": w.ns}
		n.Annotations = map[string]string{}
		for i := 0; i+1 < len(annotations); i += 2 {
			n.Annotations[annotations[i]] = annotations[i+1]
		}
		n.Spec.Config = config
	}
	err := rig.Edit(w.ctx(), w.api, nad, says)
	if apierrors.IsNotFound(err) {
		says(nad)
		err = w.api.Create(w.ctx(), nad)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deleteNetwork(name string) {
	w.t.Helper()
	nad := &nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	if err := w.api.Delete(w.ctx(), nad); err != nil {
		w.t.Fatal(err)
	}
}

// pod makes a pod on some networks, named as in a comma list.
func (w *world) pod(name, networks string, edit ...func(*corev1.Pod)) *corev1.Pod {
	w.t.Helper()
	on := func(p *corev1.Pod) {
		if networks != "" {
			p.Annotations = map[string]string{attach.NetworksAnnotation: networks}
		}
	}
	return w.bed.CreatePod(w.t, w.ns, name, append([]func(*corev1.Pod){on}, edit...)...)
}

func (w *world) deletePod(name string) {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	if err := w.api.Delete(w.ctx(), pod, client.GracePeriodSeconds(0)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(name string) *corev1.Pod {
	w.t.Helper()
	var pod corev1.Pod
	if err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: name}, &pod); err != nil {
		w.t.Fatal(err)
	}
	return &pod
}

// elements are a pod's networks as its annotation has them now.
func (w *world) elements(name string) []attach.Element {
	w.t.Helper()
	list, err := attach.ParseAnnotation(w.ns, w.get(name).Annotations[attach.NetworksAnnotation])
	if err != nil {
		w.t.Fatalf("annotation of %s: %v", name, err)
	}
	return list
}

// configured waits until every network of a pod is configured, and returns the GUIDs.
func (w *world) configured(name string) []guid.GUID {
	w.t.Helper()
	var guids []guid.GUID
	testbed.Eventually(w.t, "pod "+name+" is configured", func() (bool, string) {
		guids = nil
		for _, e := range w.elements(name) {
			if !e.Configured {
				return false, w.get(name).Annotations[attach.NetworksAnnotation]
			}
			guids = append(guids, e.GUID)
		}
		return true, ""
	})
	return guids
}

// members are what UFM shows of a partition.
func (w *world) members(p pkey.PKey) []guid.GUID {
	var list []guid.GUID
	for _, m := range w.sim.Members(p) {
		list = append(list, m.GUID)
	}
	return list
}

// inUFM waits until UFM shows exactly these GUIDs in a partition.
func (w *world) inUFM(p pkey.PKey, want ...guid.GUID) {
	w.t.Helper()
	slices.Sort(want)
	testbed.Eventually(w.t, fmt.Sprintf("pkey %s has %d members", p, len(want)), func() (bool, string) {
		have := w.members(p)
		return slices.Equal(have, want), fmt.Sprintf("it has %v, want %v", have, want)
	})
}

// rows are the ledger's.
func (w *world) rows() map[string]v1alpha1.LedgerRow {
	w.t.Helper()
	var list v1alpha1.LedgerList
	if err := w.api.List(w.ctx(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	rows := map[string]v1alpha1.LedgerRow{}
	for _, l := range list.Items {
		for _, r := range l.Spec.Rows {
			if _, twice := rows[r.GUID]; twice {
				w.t.Errorf("guid %s has two rows in the ledger", r.GUID)
			}
			rows[r.GUID] = r
		}
	}
	return rows
}

// event waits for a Kubernetes Event on a pod that says something.
func (w *world) event(pod, reason, says string) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("an event %s on %s says %q", reason, pod, says), func() (bool, string) {
		list, err := w.bed.Client().CoreV1().Events(w.ns).List(w.ctx(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		var all []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name != pod {
				continue
			}
			all = append(all, e.Reason+": "+e.Message)
			if e.Reason == reason && strings.Contains(e.Message, says) {
				return true, ""
			}
		}
		return false, strings.Join(all, "\n")
	})
}

// logged waits for a line of a controller's log with this event and text.
func (w *world) logged(event, says string) {
	w.t.Helper()
	testbed.Eventually(w.t, fmt.Sprintf("a log line %s says %q", event, says), func() (bool, string) {
		said := ""
		for _, line := range w.lines() {
			if line["event"] == event && strings.Contains(fmt.Sprint(line), says) {
				return true, ""
			} else if line["event"] == event {
				said += fmt.Sprintln(line)
			}
		}
		return false, said
	})
}

// lines are all log lines so far.
func (w *world) lines() []map[string]any {
	var list []map[string]any
	for _, text := range w.said() {
		for line := range strings.Lines(text) {
			var m map[string]any
			if json.Unmarshal([]byte(line), &m) == nil {
				list = append(list, m)
			}
		}
	}
	return list
}

func (w *world) ctx() context.Context { return w.t.Context() }

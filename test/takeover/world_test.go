package takeover

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	ufmUser     = "admin"
	ufmPassword = "123456"
)

// world is a namespace with networks and pods, and a UFM with a door for each controller.
type world struct {
	t   *testing.T
	bed *testbed.Cluster
	api client.Client
	ns  string
	sim *ufmsim.Sim
	// Both lead to the same UFM, and tell whose change it was.
	ours, theirs *door
}

// door is an address of UFM that counts what comes in to change something.
type door struct {
	server  *httptest.Server
	changes atomic.Int64
}

func newDoor(t *testing.T, sim *ufmsim.Sim) *door {
	d := &door{}
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			d.changes.Add(1)
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(d.server.Close)
	return d
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bed := shared.Rig(t).Bed
	scheme, err := controller.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	config := bed.Config()
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	sim, err := ufmsim.New(ufmsim.Config{Username: ufmUser, Password: ufmPassword, PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bed: bed, api: api, ns: bed.Namespace(t), sim: sim}
	w.ours, w.theirs = newDoor(t, sim), newDoor(t, sim)
	t.Cleanup(w.clear)
	return w
}

// gone deletes an object of a test that has ended.
func (w *world) gone(o client.Object) {
	if err := w.api.Delete(context.Background(), o); err != nil {
		w.t.Error(err)
	}
}

// clear leaves no pod to the next test: ib-kubernetes takes those of all namespaces.
func (w *world) clear() {
	ctx := context.Background()
	if err := w.api.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(w.ns), client.GracePeriodSeconds(0)); err != nil {
		w.t.Error(err)
	}
}

// settings are those of both: an installation of ib-kubernetes keeps what it has.
func (w *world) settings(d *door) []string {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(d.server.URL, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{
		"KUBECONFIG=" + w.bed.Kubeconfig(), "POD_NAMESPACE=" + w.ns,
		"DAEMON_SM_PLUGIN=ufm", "DAEMON_PERIODIC_UPDATE=1",
		"GUID_POOL_RANGE_START=02:00:00:00:00:00:00:00", "GUID_POOL_RANGE_END=02:00:00:00:00:00:FF:FF",
		"UFM_USERNAME=" + ufmUser, "UFM_PASSWORD=" + ufmPassword,
		"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_HTTP_SCHEMA=http",
	}
}

// pod makes a pod on networks as its annotation names them.
func (w *world) pod(name, networks string) {
	w.t.Helper()
	w.bed.CreatePod(w.t, w.ns, name, func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: networks}
		p.Spec.NodeName = nodeName
	})
}

func (w *world) delete(names ...string) {
	w.t.Helper()
	for _, name := range names {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
		if err := w.api.Delete(w.t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// setPhase makes pods Running, or whatever a kubelet would say of them.
func (w *world) setPhase(phase corev1.PodPhase, pods ...corev1.Pod) {
	w.t.Helper()
	for i := range pods {
		err := rig.EditStatus(w.t.Context(), w.api, &pods[i], func(p *corev1.Pod) { p.Status.Phase = phase })
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) pods() map[string]corev1.Pod {
	w.t.Helper()
	var list corev1.PodList
	if err := w.api.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	pods := map[string]corev1.Pod{}
	for _, p := range list.Items {
		pods[p.Name] = p
	}
	return pods
}

// holding is what an interface has, and whose it is.
type holding struct {
	UID       string
	Pod       string
	Interface string
	Network   string
	Node      string
}

// holdings are what the pods' annotations tell of their GUIDs. All must be configured.
func (w *world) holdings(pods map[string]corev1.Pod) map[guid.GUID]holding {
	w.t.Helper()
	all := map[guid.GUID]holding{}
	for _, p := range pods {
		elements, err := attach.ParseAnnotation(p.Namespace, p.Annotations[attach.NetworksAnnotation])
		if err != nil {
			w.t.Fatalf("annotation of pod %s: %v", p.Name, err)
		}
		for _, e := range elements {
			if was, twice := all[e.GUID]; twice || !e.Configured || e.GUID == 0 {
				w.t.Errorf("pod %s interface %s has guid %s (configured: %v), as has pod %s", p.Name, e.Interface, e.GUID, e.Configured, was.Pod)
			}
			all[e.GUID] = holding{string(p.UID), p.Name, e.Interface, e.Network.String(), p.Spec.NodeName}
		}
	}
	return all
}

// configured waits until every network of the named pods is configured, of all when none
// are named.
func (w *world) configured(names ...string) {
	w.t.Helper()
	// ib-kubernetes patches twenty pods a second: what counts is that it gets on.
	for done, more := -1, true; more; {
		testbed.Eventually(w.t, "pods are configured", func() (bool, string) {
			n, all, waits := 0, 0, ""
			for name, p := range w.pods() {
				if len(names) > 0 && !slices.Contains(names, name) {
					continue
				}
				if all++; isConfigured(&p) {
					n++
				} else {
					waits = name + ": " + p.Annotations[attach.NetworksAnnotation]
				}
			}
			if more = n < all; more && n < done+100 {
				return false, waits
			}
			done = n
			return true, ""
		})
	}
}

func isConfigured(p *corev1.Pod) bool {
	elements, err := attach.ParseAnnotation(p.Namespace, p.Annotations[attach.NetworksAnnotation])
	return err == nil && !slices.ContainsFunc(elements, func(e attach.Element) bool { return !e.Configured })
}

// rows are those of the ledger that are in a state.
func (w *world) rows(state v1alpha1.RowState) map[guid.GUID]holding {
	w.t.Helper()
	var list v1alpha1.LedgerList
	if err := w.api.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	rows := map[guid.GUID]holding{}
	for _, l := range list.Items {
		for _, r := range l.Spec.Rows {
			g, err := guid.Parse(r.GUID)
			if err != nil {
				w.t.Fatal(err)
			}
			if was, twice := rows[g]; twice {
				w.t.Errorf("guid %s has two rows in the ledger, %s's and %s's", g, was.Pod, r.Pod)
			}
			if r.State == state {
				rows[g] = holding{string(r.PodUID), r.Pod, r.Interface, r.Network, r.Node}
			}
		}
	}
	return rows
}

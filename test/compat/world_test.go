//go:build linux

package compat

import (
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// world is a cluster that ibfabric's controller serves, and the UFM behind it.
type world struct {
	t   *testing.T // of the row that is played
	bed *testbed.Cluster
	sim *ufmsim.Sim
	// The programs that nodes have of others, by name.
	programs map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	rig := shared.Rig(t)
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "123456", PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "controller.log")
	p, err := rig.Launcher.Start(programs.Command{
		Program: rig.Program(), Log: log,
		Env: []string{
			"KUBECONFIG=" + rig.Bed.Kubeconfig(), "POD_NAMESPACE=default", "DAEMON_SM_PLUGIN=ufm",
			"GUID_POOL_RANGE_START=02:00:00:00:00:00:00:00", "GUID_POOL_RANGE_END=02:00:00:00:00:00:FF:FF",
			"UFM_USERNAME=admin", "UFM_PASSWORD=123456", "UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_HTTP_SCHEMA=http",
		},
		Args: []string{"--health-address=0", "--console-address=0", "--log-level=debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(programs.StopWithin); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the controller said, at the end:\n%s", p.Tail(40))
		}
	})
	w := &world{t: t, bed: rig.Bed, sim: sim}
	if w.programs, err = testbed.Built(t.Context(), "multus", "host-local"); err != nil {
		t.Fatal(err)
	}
	return w
}

// network makes a NAD whose VFs are those of a resource.
func (w *world) network(ns, name, resource, config string) {
	w.t.Helper()
	w.bed.CreateNAD(w.t, ns, name, config, map[string]string{"k8s.v1.cni.cncf.io/resourceName": resource})
}

// pod makes a pod on networks, as its annotation names them.
func (w *world) pod(ns, name, networks string) *corev1.Pod {
	w.t.Helper()
	return w.bed.CreatePod(w.t, ns, name, func(p *corev1.Pod) {
		p.Annotations = map[string]string{attach.NetworksAnnotation: networks}
		p.Spec.NodeName = nodeName
	})
}

// served makes a pod, and waits until the controller has configured so many of its networks.
func (w *world) served(ns, name, networks string, n int) *corev1.Pod {
	w.t.Helper()
	pod := w.pod(ns, name, networks)
	testbed.Eventually(w.t, "pod "+name+" is configured", func() (bool, string) {
		pod = w.read(pod)
		text := pod.Annotations[attach.NetworksAnnotation]
		return strings.Count(text, `"mellanox.infiniband.app":"configured"`) == n, text
	})
	return pod
}

func (w *world) read(pod *corev1.Pod) *corev1.Pod {
	w.t.Helper()
	now, err := w.bed.Client().CoreV1().Pods(pod.Namespace).Get(w.t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

// only is the one member that UFM has of a partition, in the form of the annotations.
func (w *world) only(p pkey.PKey) string {
	w.t.Helper()
	members := w.sim.Members(p)
	if len(members) != 1 {
		w.t.Fatalf("UFM has the members %v of %s, want one", members, p)
	}
	return members[0].GUID.String()
}

// table is what a subnet manager gives a port with a GUID: the partitions that UFM has it
// in, what is to be at index 0 first, and the one of the management.
func (w *world) table(g guid.GUID) []uint16 {
	table := []uint16{pkey.Default.TableEntry(pkey.Limited)}
	for _, part := range w.sim.Partitions() {
		for _, m := range part.Members {
			switch entry := part.PKey.TableEntry(m.Membership); {
			case m.GUID != g:
			case m.Index0:
				table = slices.Insert(table, 0, entry)
			default:
				table = append(table, entry)
			}
		}
	}
	return table
}

// element is one of a pod's networks annotation, as any reader of JSON sees it.
type element struct {
	Name           string            `json:"name"`
	Interface      string            `json:"interface"`
	InfinibandGUID string            `json:"infiniband-guid"`
	CNIArgs        map[string]string `json:"cni-args"`
}

func (e element) guid() string {
	if e.InfinibandGUID != "" {
		return e.InfinibandGUID
	}
	return e.CNIArgs["guid"]
}

// elements reads it. That all of cni-args are strings is no matter of course: ib-sriov-cni
// reads nothing where one is not.
func (w *world) elements(pod *corev1.Pod) (all []element) {
	w.t.Helper()
	text := pod.Annotations[attach.NetworksAnnotation]
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		w.t.Fatalf("annotation %s: %v", text, err)
	}
	return all
}

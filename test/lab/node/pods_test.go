//go:build linux

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/test/lab/node/seen"
	"github.com/ibfabric/ibfabric/test/lab/node/vfs"
	"github.com/ibfabric/ibfabric/test/lab/ufm"
)

// patience is the deadline of everything that is waited for: far more than it takes.
const patience = 15 * time.Minute

// namespace is the tenants'.
const namespace = "default"

// eventually waits until something is so, as long as the node lives.
func (w *world) eventually(what string, so func() (bool, string)) {
	w.t.Helper()
	state := ""
	if w.controller != nil && w.controller.Ended() != nil {
		w.t.Fatalf("%v; it said:\n%s", w.controller.Ended(), w.log.tail(20))
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var done bool
		if done, state = so(); done {
			return
		}
	}
	w.t.Fatalf("%s: not within %s; last state: %s", what, patience, state)
}

func (w *world) ctx() context.Context { return w.t.Context() }

// usable waits until the scheduler can give a node pods, and the node VFs.
func (w *world) usable(n *Node) {
	w.t.Helper()
	w.eventually("node "+n.Name()+" is Ready and has VFs", func() (bool, string) {
		must(w.t, n.Ended())
		o := w.object(n.Name())
		ib, roce := o.Status.Allocatable[ibResource], o.Status.Allocatable[roceResource]
		return len(o.Spec.Taints) == 0 && isReady(o) && !ib.IsZero() && !roce.IsZero() && o.Status.NodeInfo.BootID == n.BootID(),
			fmt.Sprint(o.Spec.Taints, o.Status.Allocatable, o.Status.Conditions)
	})
}

// object is what the API server has of a node; empty before it has joined.
func (w *world) object(node string) *corev1.Node {
	w.t.Helper()
	var n corev1.Node
	must(w.t, client.IgnoreNotFound(w.api.Get(w.ctx(), types.NamespacedName{Name: node}, &n)))
	return &n
}

func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// vfs are a node's as text, to be compared.
func (w *world) vfs(n *Node) string {
	w.t.Helper()
	list, err := n.VFs(w.ctx())
	must(w.t, err)
	var b strings.Builder
	for _, vf := range list {
		fmt.Fprintf(&b, "%+v\n", vf)
	}
	return b.String()
}

// nodeOf is where a pod runs.
func (w *world) nodeOf(pod string) *Node {
	w.t.Helper()
	p, err := w.get(pod)
	must(w.t, err)
	at := w.nodes[p.Spec.NodeName]
	if at == nil {
		w.t.Fatalf("pod %s runs on %q", pod, p.Spec.NodeName)
	}
	return at.Node
}

// network makes a NAD whose pods get VFs of a resource.
func (w *world) network(name, resource, config string) {
	w.t.Helper()
	w.bed.CreateNAD(w.t, namespace, name, config, map[string]string{"k8s.v1.cni.cncf.io/resourceName": resource})
}

// Parts of a network's configuration.
const capability = `,"capabilities":{"infinibandGUID":true}` // the GUID comes by it, and not by CNI_ARGS

func hostLocal(subnet string) string {
	return fmt.Sprintf(`,"ipam":{"type":"host-local","subnet":%q}`, subnet)
}

// rail is a network in a partition.
func (w *world) rail(name, pkey, more string) {
	w.t.Helper()
	w.network(name, ibResource, fmt.Sprintf(`{"cniVersion":"1.0.0","name":%q,"type":"ib-sriov","pkey":%q,"link_state":"enable",
		"rdmaIsolation":true,"ibKubernetesEnabled":true%s}`, name, pkey, more))
	// The webhook has it once a pod that is only tried stands at the gate.
	w.eventually("admission knows "+name, func() (bool, string) {
		pod := draft("probe", name, ibResource)
		err := w.api.Create(w.ctx(), pod, client.DryRunAll)
		return err == nil && len(pod.Spec.SchedulingGates) == 1, fmt.Sprint(err)
	})
}

func draft(name, network, vf string) *corev1.Pod {
	one, no := corev1.ResourceList{corev1.ResourceName(vf): resource.MustParse("1")}, false
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{attach.NetworksAnnotation: network}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{
				Name: "main", Image: "localhost/probe:1", ImagePullPolicy: corev1.PullNever,
				Resources: corev1.ResourceRequirements{Requests: one, Limits: one},
			}},
		},
	}
}

// pod makes one, and returns it as the API server has it then.
func (w *world) pod(name, network, vf string, edit ...func(*corev1.Pod)) *corev1.Pod {
	w.t.Helper()
	pod := draft(name, network, vf)
	for _, e := range edit {
		e(pod)
	}
	if err := w.api.Create(w.ctx(), pod); err != nil {
		w.t.Fatalf("creating pod %s: %v", name, err)
	}
	return pod
}

func (w *world) get(name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	return &pod, w.api.Get(w.ctx(), types.NamespacedName{Namespace: namespace, Name: name}, &pod)
}

// told waits for an Event on a pod that has a text in it.
func (w *world) told(namespace, name, reason, text string) {
	w.t.Helper()
	w.eventually("pod "+name+" is told "+reason+" "+text, func() (bool, string) {
		list, err := w.bed.Client().CoreV1().Events(namespace).List(w.ctx(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
		must(w.t, err)
		said := ""
		for _, e := range list.Items {
			said += e.Reason + ": " + e.Message + "\n"
			if e.Reason == reason && strings.Contains(e.Message, text) {
				return true, ""
			}
		}
		return false, said
	})
}

// goesOn waits until a pod has left its gate.
func (w *world) goesOn(name string) {
	w.t.Helper()
	w.eventually("pod "+name+" goes on", func() (bool, string) {
		pod, err := w.get(name)
		must(w.t, err)
		return len(pod.Spec.SchedulingGates) == 0, fmt.Sprint(pod.Spec.SchedulingGates)
	})
}

// sees waits until a pod runs and has said what it sees.
func (w *world) sees(name string) (s seen.Seen) {
	w.t.Helper()
	var uid types.UID
	w.eventually("pod "+name+" runs", func() (bool, string) {
		for _, n := range w.nodes {
			must(w.t, n.Ended())
		}
		pod, err := w.get(name)
		must(w.t, err)
		uid = pod.UID
		return pod.Status.Phase == corev1.PodRunning, fmt.Sprintf("%s, %v, %+v", pod.Status.Phase, pod.Spec.SchedulingGates, pod.Status.Conditions)
	})
	n := w.nodeOf(name)
	w.eventually("pod "+name+" says what it sees", func() (bool, string) {
		logs, err := n.Control().Read(w.ctx(), fmt.Sprintf("/var/log/pods/%s_%s_%s/main/*.log", namespace, name, uid))
		must(w.t, err)
		for _, text := range logs {
			// The runtime's format: time, stream, "F" for a full line, text.
			words := strings.SplitN(string(text), " ", 4)
			if len(words) == 4 && json.Unmarshal([]byte(words[3]), &s) == nil {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%q", logs)
	})
	return s
}

// guidOf is what the controller wrote into a pod.
func (w *world) guidOf(name string) guid.GUID {
	w.t.Helper()
	pod, err := w.get(name)
	must(w.t, err)
	elements, err := attach.ParseAnnotation(namespace, pod.Annotations[attach.NetworksAnnotation])
	if err != nil || len(elements) != 1 || !elements[0].Configured || elements[0].GUID == 0 {
		w.t.Fatalf("the networks of pod %s are %s: %v", name, pod.Annotations[attach.NetworksAnnotation], err)
	}
	return elements[0].GUID
}

// membersBecome waits until UFM has exactly these in a partition.
func (w *world) membersBecome(pkey string, want ...guid.GUID) {
	w.t.Helper()
	slices.Sort(want)
	w.eventually(fmt.Sprintf("partition %s has %d members", pkey, len(want)), func() (bool, string) {
		have := w.members(pkey)
		return slices.Equal(have, want), fmt.Sprintf("%v, want %v", have, want)
	})
}

func (w *world) members(pkey string) (guids []guid.GUID) {
	w.t.Helper()
	var answer struct {
		GUIDs []struct{ GUID guid.GUID }
	}
	text := w.sim.Must("GET", ufm.PKeys+"/"+pkey+"?guids_data=true", "")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		w.t.Fatalf("partition %s in UFM: %s: %v", pkey, text, err)
	}
	for _, m := range answer.GUIDs {
		guids = append(guids, m.GUID)
	}
	slices.Sort(guids)
	return guids
}

// rows are the ledger's, by GUID.
func (w *world) rows() map[string]v1alpha1.LedgerRow {
	w.t.Helper()
	var list v1alpha1.LedgerList
	must(w.t, w.api.List(w.ctx(), &list))
	rows := map[string]v1alpha1.LedgerRow{}
	for _, l := range list.Items {
		for _, r := range l.Spec.Rows {
			rows[r.GUID] = r
		}
	}
	return rows
}

// vfOf is the VF that a pod got, as the node sees it.
func (w *world) vfOf(pod string, s seen.Seen) vfs.VF {
	w.t.Helper()
	list, err := w.nodeOf(pod).VFs(w.ctx())
	must(w.t, err)
	if len(s.VFs) != 1 {
		w.t.Fatalf("the device plugin gave the pod %q", s.VFs)
	}
	i := slices.IndexFunc(list, func(vf vfs.VF) bool { return vf.PCI == s.VFs[0] })
	if i < 0 {
		w.t.Fatalf("the node has no VF %s", s.VFs[0])
	}
	return list[i]
}

func (w *world) deletePod(name string, options ...client.DeleteOption) {
	w.t.Helper()
	must(w.t, w.api.Delete(w.ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, options...))
	w.eventually("pod "+name+" is gone", func() (bool, string) {
		pod, err := w.get(name)
		return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprintf("%+v", pod.Status)
	})
}

// kept are the files that ibfabric's plugins and IPAM keep of attachments.
func (w *world) kept(n *Node) (files []string) {
	w.t.Helper()
	for _, pattern := range []string{"/var/lib/cni/ibfabric/*.json", "/var/lib/cni/networks/r*/[0-9]*"} {
		found, err := n.Control().Read(w.ctx(), pattern)
		must(w.t, err)
		files = append(files, sorted(found)...)
	}
	return files
}

// nothingLeft waits until all is as it was when the nodes had booted: the VFs, the plugins'
// records and addresses, UFM, the ledger.
func (w *world) nothingLeft(pkeys ...string) {
	w.t.Helper()
	for name, n := range w.nodes {
		w.eventually("the VFs of "+name+" are as before", func() (bool, string) {
			now := w.vfs(n.Node)
			return now == n.fresh, now
		})
		if left := w.kept(n.Node); len(left) > 0 {
			w.t.Errorf("%s keeps %q", name, left)
		}
	}
	for _, pkey := range pkeys {
		w.membersBecome(pkey)
	}
	w.eventually("the ledger is empty, once GUIDs were held", func() (bool, string) {
		rows := w.rows()
		return len(rows) == 0, fmt.Sprint(rows)
	})
}

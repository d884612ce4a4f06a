//go:build linux

package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/cni/node/doctor"
	"github.com/ibfabric/ibfabric/test/lab/node/control"
	"github.com/ibfabric/ibfabric/test/lab/ufm"
	"github.com/ibfabric/ibfabric/test/programs"
)

// shipped has a node on which nothing is ibfabric's but what the images bring, in the pods
// that the plain manifests describe.
func (w *world) shipped() {
	images := w.buildImages()
	must(w.t, w.controller.Stop(programs.StopWithin))
	w.controller = nil
	w.nodes["node-1"].Kill()
	n := w.startNode(1, func(c *Config) { c.CNI, c.Files = "", images })
	w.load(n, images)
	w.ways(n)
	w.release()
	w.nodePod(n)
	w.controllerPod(n)
	nodePod := w.podWhere(nodeLabels, "is ready", isPodReady) // since nodePod has done what the doctor says
	if !slices.ContainsFunc(w.doctor(n, nodePod, doctor.OK), func(r doctor.Row) bool { return r.Check == "gc" }) {
		w.t.Error("the doctor has not seen gc run")
	}

	w.rail("rail-f", "0x40", hostLocal("10.100.6.0/24"))
	w.pod("f", "rail-f", ibResource)
	w.goesOn("f")
	w.membersBecome("0x40", w.guidOf("f"))
	if s := w.sees("f"); len(s.Devices) != 1 || !sameEntries(s.Devices[0].PKeys, 0x7fff, 0x8040) {
		w.t.Errorf("pod f sees %+v", s.Devices)
	}
	w.collects(n, nodePod)
	w.nothingLeft("0x40")
	w.neverDenied(n)
}

// Where pods find what is outside of the node. The first is what the kubelet tells them.
const (
	apiService  = "10.96.0.1:443"
	ufmHost     = "192.0.2.1"
	ufmPort     = "80"
	webhookPort = 9443
)

// ways does what kube-proxy and a site's network do: it leads to the API server and to UFM.
func (w *world) ways(n *Node) {
	w.t.Helper()
	to := map[string]string{}
	for from, of := range map[string]string{apiService: w.bed.Config().Host, net.JoinHostPort(ufmHost, ufmPort): w.sim.URL()} {
		u, err := url.Parse(of)
		must(w.t, err)
		to[from] = net.JoinHostPort(n.Host(), u.Port())
	}
	must(w.t, n.Pass(w.ctx(), to))
}

// release applies the manifests, with a Secret and a ConfigMap as their readers make them.
func (w *world) release() {
	w.t.Helper()
	for _, object := range []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: release, Name: "ib-kubernetes-ufm-secret"},
			StringData: map[string]string{
				"UFM_USERNAME": ufm.User, "UFM_PASSWORD": ufm.Password,
				"UFM_ADDRESS": ufmHost, "UFM_PORT": ufmPort, "UFM_HTTP_SCHEMA": "http",
			},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: release, Name: "ib-kubernetes-config"},
			Data: map[string]string{
				"DAEMON_SM_PLUGIN": "ufm", "IBFABRIC_HOLD": hold.String(), "IBFABRIC_SYNC_PERIOD": "3s",
				"IBFABRIC_LEASE_DURATION": "1m", "IBFABRIC_LEASE_RENEW": "50s", // an emulated CPU on a busy machine stops for longer than 10 s
			},
		},
	} {
		must(w.t, w.api.Create(w.ctx(), object))
	}
	w.applyManifests("console/*.yaml")
	w.applyManifests("manifests/30-*.yaml")
	// One is enough for an emulated CPU.
	w.applyManifests("manifests/20-*.yaml", "replicas: 2", "replicas: 1")
	// A kubelet that has just started waits for a random part of the period before it probes.
	// The doctor takes its time on an emulated CPU.
	w.applyManifests("manifests/40-*.yaml", "periodSeconds: 300", "periodSeconds: 60", "timeoutSeconds: 30", "timeoutSeconds: 55")
}

const nodeLabels = "app.kubernetes.io/name=ibfabric-node"

// nodePod waits for the DaemonSet's. It is not ready, because the doctor misses that the node
// is told how RDMA devices are to be after a reboot; the node is told.
func (w *world) nodePod(n *Node) {
	w.t.Helper()
	pod := w.podWhere(nodeLabels, "runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	w.told(release, pod.Name, "Unhealthy", "rdma-mode-boot")
	if rows := w.doctor(n, pod, doctor.Mend); len(rows) != 1 || rows[0].Check != "rdma-mode-boot" {
		w.t.Errorf("the doctor has to mend %+v, want rdma-mode-boot alone", rows)
	}
	must(w.t, n.Control().Write(w.ctx(), control.File{
		Path: "/etc/modprobe.d/zz-ib_core.conf", Mode: 0o644, Text: []byte("options ib_core netns_mode=0\n"),
	}))
}

func isPodReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// doctor is kubectl exec … /ibfabric-cni doctor. It gives the rows of one state.
func (w *world) doctor(n *Node, pod *corev1.Pod, state doctor.State) []doctor.Row {
	w.t.Helper()
	text, err := w.in(n, pod, "/ibfabric-cni", "doctor", "-o", "json")
	if exit := (*control.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	var report doctor.Report
	if err := json.Unmarshal(text, &report); err != nil {
		w.t.Fatalf("the doctor says %s: %v", text, err)
	}
	return slices.DeleteFunc(report.Rows, func(r doctor.Row) bool { return r.State != state })
}

// in runs a program in a pod's container, as kubectl exec does.
func (w *world) in(n *Node, pod *corev1.Pod, argv ...string) ([]byte, error) {
	w.t.Helper()
	id := fmt.Sprint("lab-", time.Now().UnixNano())
	return n.Control().Exec(w.ctx(), nil, append([]string{"ctr", "--namespace", "k8s.io", "tasks", "exec", "--exec-id", id, containerOf(pod)}, argv...)...)
}

func containerOf(pod *corev1.Pod) string {
	return strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
}

// controllerPod waits until the Deployment's leads, and leads the API server's questions to it.
func (w *world) controllerPod(n *Node) {
	w.t.Helper()
	pod := w.podWhere("app.kubernetes.io/name=ibfabric-controller", "is ready", isPodReady)
	w.eventually("pod "+pod.Name+" leads", func() (bool, string) {
		var lease coordinationv1.Lease
		err := w.api.Get(w.ctx(), client.ObjectKey{Namespace: release, Name: "ibfabric-fabric"}, &lease)
		holder := lease.Spec.HolderIdentity
		return err == nil && holder != nil && strings.HasPrefix(*holder, pod.Name+"_"), fmt.Sprint(lease.Spec, err)
	})
	w.restricted(n, pod)
	must(w.t, n.Pass(w.ctx(), map[string]string{fmt.Sprintf("0.0.0.0:%d", webhookPort): fmt.Sprintf("%s:%d", pod.Status.PodIP, webhookPort)}))
	must(w.t, n.Forward(w.webhooks, webhookPort))
	w.admissionAnswers()
}

// restricted looks at what the kernel has made of the pod's securityContext.
func (w *world) restricted(n *Node, pod *corev1.Pod) {
	w.t.Helper()
	dir := "/proc/self"
	for line := range strings.Lines(w.ctr(n, "tasks", "ps", containerOf(pod))) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "PID" {
			dir = "/proc/" + words[0]
		}
	}
	read := func(name string) string {
		files, err := n.Control().Read(w.ctx(), dir+"/"+name)
		must(w.t, err)
		return string(files[dir+"/"+name])
	}
	status := read("status")
	for _, want := range []string{"\nUid:\t65532\t65532\t65532\t65532\n", "\nCapEff:\t0000000000000000\n", "\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
		if !strings.Contains(status, want) {
			w.t.Errorf("the controller's process lacks %q:\n%s", want, status)
		}
	}
	for line := range strings.Lines(read("mountinfo")) { // proc_pid_mountinfo(5)
		if words := strings.Fields(line); words[4] == "/" && !strings.HasPrefix(words[5], "ro,") {
			w.t.Errorf("the controller's root is mounted %s", words[5])
		}
	}
}

// collects sees the DaemonSet's gc leave a pod alone that lives, and clean up behind one whose
// DEL was lost.
func (w *world) collects(n *Node, nodePod *corev1.Pod) {
	w.t.Helper()
	collect := func() {
		_, err := w.in(n, nodePod, "/ibfabric-cni", "gc")
		must(w.t, err)
	}
	before, kept := w.vfs(n), w.kept(n)
	collect()
	if now := w.vfs(n); now != before || !slices.Equal(w.kept(n), kept) {
		w.t.Errorf("gc has touched a pod that lives: there are %q, and the VFs\n%s\nwhich were\n%s", w.kept(n), now, before)
	}
	records, err := n.Control().Read(w.ctx(), "/var/lib/cni/ibfabric/*.json")
	must(w.t, err)
	w.deletePod("f")
	w.eventually("DEL has come", func() (bool, string) { return len(w.kept(n)) == 0, fmt.Sprint(w.kept(n)) })
	for path, text := range records { // as if it had not
		must(w.t, n.Control().Write(w.ctx(), control.File{Path: path, Mode: 0o600, Text: text}))
	}
	collect()
	if now := w.kept(n); len(now) > 0 || len(records) != 1 {
		w.t.Errorf("gc leaves %q of a pod that is gone, of %d records", now, len(records))
	}
}

// neverDenied reads the controller's log for what its account may not.
func (w *world) neverDenied(n *Node) {
	w.t.Helper()
	logs, err := n.Control().Read(w.ctx(), "/var/log/pods/"+release+"_ibfabric-controller-*/controller/*.log")
	must(w.t, err)
	if len(logs) != 1 {
		w.t.Errorf("the controller has %d logs, want one, of a container that was never restarted", len(logs))
	}
	for _, text := range logs {
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "forbidden") {
				w.t.Errorf("the controller was denied something: %s", line)
			}
		}
	}
}

// podWhere waits until the release's one pod with these labels is as it should be.
func (w *world) podWhere(labels, what string, so func(*corev1.Pod) bool) (pod *corev1.Pod) {
	w.t.Helper()
	begun := time.Now()
	w.eventually("the pod with "+labels+" "+what, func() (bool, string) {
		list, err := w.bed.Client().CoreV1().Pods(release).List(w.ctx(), metav1.ListOptions{LabelSelector: labels})
		must(w.t, err)
		if len(list.Items) != 1 {
			return false, fmt.Sprintf("there are %d", len(list.Items))
		}
		pod = &list.Items[0]
		return so(pod), fmt.Sprintf("%+v", pod.Status)
	})
	fmt.Printf("lab: pod %s %s after %s more\n", pod.Name, what, time.Since(begun).Round(100*time.Millisecond))
	return pod
}

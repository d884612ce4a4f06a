package guide

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// live is a cluster of two nodes with eight cards each, a UFM, and ibfabric as it is
// shipped: the controller makes networks of SpiderMultusConfigs, its webhooks check them
// and inject them, and pods that make it through are Running.
type live struct {
	*world
	t          *testing.T
	sim        *ufmsim.Sim
	controller *programs.Process

	mu  sync.Mutex // protects log
	log bytes.Buffer
}

func newLive(t *testing.T, resources ...string) *live {
	t.Helper()
	cluster := []testbed.Option{testbed.WithScheduler(), testbed.WithNodes(2)}
	for _, name := range resources {
		cluster = append(cluster, testbed.WithResource(name, 12))
	}
	r, err := rig.Start(t.Context(), cluster...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "12345"})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	l := &live{world: worldOn(t, r.Bed, "testdata/others.yaml"), t: t, sim: sim}
	t.Cleanup(l.showLog)
	port := testbed.HoldPort(t)
	l.admit(port)
	l.start(r, server, port)
	return l
}

// admit installs the webhooks as they are shipped, but that their Service leads here, and that
// the API server waits longer for their answer.
func (l *live) admit(port int) {
	l.t.Helper()
	files, err := fs.Glob(deploy.Admission, "admission/*.yaml")
	if err != nil || len(files) == 0 {
		l.t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		text, err := deploy.Admission.ReadFile(file)
		if err != nil {
			l.t.Fatal(err)
		}
		for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
			o := &unstructured.Unstructured{}
			if documents.Decode(o) != nil {
				break
			}
			if err := rig.Lead(o, port); err != nil {
				l.t.Fatal(err)
			}
			if err := l.createOne(l.t.Context(), o); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

func (l *live) start(r *rig.Rig, server *ufmsim.Server, port int) {
	l.t.Helper()
	host, ufmPort, _ := net.SplitHostPort(server.Addr())
	kubeconfig := l.account()
	p, err := r.Launcher.Start(programs.Command{
		Program: r.Program(), Out: l,
		Args: []string{"--install-crds", "--multus-configs=on", "--admission", fmt.Sprintf("--webhook-port=%d", port), "--health-address=0", "--console-address=0", "--sync-period=1s"},
		Env: []string{
			"KUBECONFIG=" + kubeconfig, "UFM_USER=admin", "UFM_PASSWORD=12345",
			"UFM_ADDRESS=" + host, "UFM_PORT=" + ufmPort, "UFM_CERTIFICATE=" + string(server.CertPEM()),
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.controller = p
	l.t.Cleanup(p.Kill)
	testbed.Eventually(l.t, "the controller leads", func() (bool, string) {
		return strings.Contains(l.said(), `"event":"leader.adopted"`), l.said()
	})
}

// account is the one that the shipped policies let write what pods say of the fabric.
func (l *live) account() (kubeconfig string) {
	l.t.Helper()
	const user = "system:serviceaccount:kube-system:ibfabric-controller"
	binding := fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: controller},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
  subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: %q}]}`, user)
	if err := l.bed.Apply(l.t.Context(), []byte(binding)); err != nil {
		l.t.Fatal(err)
	}
	l.bed.Allowed(l.t, user, nil, authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
	})
	kubeconfig, err := l.bed.KubeconfigFor(user, "system:serviceaccounts", "system:serviceaccounts:kube-system")
	if err != nil {
		l.t.Fatal(err)
	}
	return kubeconfig
}

// Write implements io.Writer: what the controller says.
func (l *live) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *live) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func (l *live) showLog() {
	if l.t.Failed() {
		lines := strings.Split(l.said(), "\n")
		l.t.Logf("the controller said, at the end:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// apply creates the objects of files, in their order.
func (l *live) apply(files ...string) {
	l.t.Helper()
	for _, file := range files {
		l.create(l.t, file, "")
	}
}

// known waits until the network of a config is made and admission has it: a pod that came
// before would stand at no gate, and run before it has its GUIDs.
func (l *live) known(config *unstructured.Unstructured) {
	l.t.Helper()
	plugin, _, _ := unstructured.NestedString(config.Object, "spec", "cniType")
	testbed.Eventually(l.t, "admission knows network "+config.GetName(), func() (bool, string) {
		pod := draft("team-a", "probe", map[string]string{attach.NetworksAnnotation: config.GetNamespace() + "/" + config.GetName()})
		err := l.api.Get(l.t.Context(), client.ObjectKeyFromObject(config), nad())
		if err == nil {
			err = l.api.Create(l.t.Context(), pod, client.DryRunAll)
		}
		isGated := len(pod.Spec.SchedulingGates) > 0
		return err == nil && isGated == (plugin == "ib-sriov"), fmt.Sprint(err, pod.Spec.SchedulingGates)
	})
}

// running waits until so many pods of a namespace run whose names begin so, and gives them.
// The pods of a Job have finished by then: kwok lets them do so at once.
func (l *live) running(namespace, prefix string, want int) []corev1.Pod {
	l.t.Helper()
	var found []corev1.Pod
	testbed.Eventually(l.t, fmt.Sprintf("%d pods %s… run", want, prefix), func() (bool, string) {
		list, err := l.bed.Client().CoreV1().Pods(namespace).List(l.t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		found = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
			return !strings.HasPrefix(p.Name, prefix) || p.Status.Phase != corev1.PodRunning && p.Status.Phase != corev1.PodSucceeded
		})
		return len(found) == want, fmt.Sprintf("%d of %d pods run; events:\n%s", len(found), want, strings.Join(l.events(namespace), "\n"))
	})
	return found
}

// events are what the people of a namespace are told.
func (l *live) events(namespace string) (all []string) {
	l.t.Helper()
	list, err := l.bed.Client().CoreV1().Events(namespace).List(l.t.Context(), metav1.ListOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Type != corev1.EventTypeNormal {
			all = append(all, fmt.Sprintf("%s %s: %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message))
		}
	}
	return all
}

// told waits for an Event on an object whose name begins so, which says all of that.
func (l *live) told(namespace, about string, says ...string) {
	l.t.Helper()
	testbed.Eventually(l.t, fmt.Sprintf("%s is told %q", about, says), func() (bool, string) {
		all := l.events(namespace)
		for _, e := range all {
			if strings.HasPrefix(e, about) && !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(e, s) }) {
				return true, ""
			}
		}
		return false, strings.Join(all, "\n")
	})
}

// limits are the extended resources that a pod asks for.
func limits(pod corev1.Pod) map[string]int64 {
	m := map[string]int64{}
	for _, c := range pod.Spec.Containers {
		for name, n := range c.Resources.Limits {
			if strings.Contains(string(name), "/") {
				m[string(name)] += n.Value()
			}
		}
	}
	return m
}

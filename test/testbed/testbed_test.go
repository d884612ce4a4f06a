package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClusterKeepsItsDataOverARestart(t *testing.T) {
	c := Start(t, WithLog(t.Output()))
	if err := c.InstallNADCRD(t.Context()); err != nil {
		t.Fatal(err)
	}
	ns := c.Namespace(t)
	c.CreateNAD(t, ns, "ib0", `{"type":"ib-sriov"}`, map[string]string{"ibfabric.io/membership": "limited"})
	made := c.CreatePod(t, ns, "one")

	c.StopAPIServer()
	if _, err := c.Client().CoreV1().Pods(ns).Get(t.Context(), "one", metav1.GetOptions{}); err == nil {
		t.Error("a stopped API server answered")
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	read, err := c.Client().CoreV1().Pods(ns).Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || read.UID != made.UID {
		t.Errorf("after the restart the pod is %v, %v; want UID %s", read.UID, err, made.UID)
	}
	c.CreateNAD(t, ns, "ib0", `{"type":"sriov"}`, nil) // the kind is still known
}

func TestPausedServerAnswersLate(t *testing.T) {
	c := Start(t)
	c.PauseAPIServer()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{}); ctx.Err() == nil {
		t.Errorf("a paused API server answered: %v", err)
	}
	c.ResumeAPIServer()
	if _, err := c.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	c.PauseAPIServer() // Stop must end a paused server, too
}

func TestPausedEtcdStopsTheServer(t *testing.T) {
	c := Start(t)
	ns := c.Namespace(t)
	c.PauseEtcd()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Client().CoreV1().Pods(ns).List(ctx, metav1.ListOptions{}); ctx.Err() == nil {
		t.Errorf("the API server answered without etcd: %v", err)
	}
	c.ResumeEtcd()
	if _, err := c.Client().CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	c.PauseEtcd() // Stop must end a paused one, too
}

func TestTwoClustersKnowNothingOfEachOther(t *testing.T) {
	var clusters [2]*Cluster
	t.Run("start", func(t *testing.T) {
		for i := range clusters {
			dir := t.TempDir()
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				c, err := Run(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				clusters[i] = c
			})
		}
	})
	a, b := clusters[0], clusters[1]
	if a == nil || b == nil {
		t.FailNow()
	}
	defer a.Stop()
	defer b.Stop()
	ns := a.Namespace(t)
	if _, err := b.Client().CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the second cluster says of the first's namespace: %v; want not found", err)
	}
	a.Stop()
	if _, err := b.Client().CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("with the first stopped, the second says: %v", err)
	}
	if err := a.StartAPIServer(t.Context()); err == nil {
		t.Error("a stopped cluster started an API server")
	}
}

func TestIdentityHasOnlyWhatItIsGranted(t *testing.T) {
	c := Start(t)
	file, err := c.KubeconfigFor("system:serviceaccount:ns:reader", "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("without a role, listing pods gave %v; want forbidden", err)
	}
	if err := c.Apply(t.Context(), []byte(readerRole)); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the role is in force", func() (bool, string) {
		_, err := reader.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		return err == nil, fmt.Sprint(err)
	})
	if _, err := reader.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets gave %v; want forbidden", err)
	}
}

const readerRole = `
# A comment before the first document, and a List: both must be read.
---
apiVersion: v1
kind: List
items:
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: reader}
  rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, namespace: ns, name: reader}]
`

func TestFailedStartShowsTheLog(t *testing.T) {
	c, err := Run(t.Context(), t.TempDir(), WithAPIServerFlags("--no-such-flag"))
	if err == nil {
		c.Stop()
		t.Fatal("an API server with a wrong flag started")
	}
	if !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("the error does not show the log: %v", err)
	}
}

func TestMissingProgramsNameTheMend(t *testing.T) {
	t.Setenv("IBFABRIC_CACHE", t.TempDir())
	if _, err := Run(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "run `make testbed` first") {
		t.Errorf("error is %v", err)
	}
}

func TestEventuallySaysTheLastState(t *testing.T) {
	n := 0
	err := eventually(0, func() (bool, string) { n++; return false, fmt.Sprintf("state %d", n) })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("state %d", n)) {
		t.Errorf("error is %v after %d states", err, n)
	}
}

func TestPodsRunOnKwokNodes(t *testing.T) {
	const nodes, pods, vfs = 5, 20, 4
	c := Start(t, WithScheduler(), WithNodes(nodes), WithResource("example.com/ib_vfs", vfs), WithLog(t.Output()))
	ns := c.Namespace(t)
	vf := corev1.ResourceList{"example.com/ib_vfs": resource.MustParse("1")}
	for i := range pods {
		c.CreatePod(t, ns, fmt.Sprintf("p%d", i), func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: vf, Limits: vf}
		})
	}
	on := map[string]int{}
	list := func() []corev1.Pod {
		l, err := c.Client().CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Items
	}
	start := time.Now()
	Eventually(t, "all pods Running", func() (bool, string) {
		clear(on)
		for _, p := range list() {
			if p.Status.Phase == corev1.PodRunning {
				on[p.Spec.NodeName]++
			}
		}
		running := 0
		for _, n := range on {
			running += n
		}
		return running == pods, fmt.Sprintf("%d Running, on %v", running, on)
	})
	t.Logf("%d pods Running %.1f s after the last was made", pods, time.Since(start).Seconds())
	for node, n := range on {
		if n > vfs {
			t.Errorf("%s has %d pods but %d VFs", node, n, vfs)
		}
	}
	if err := c.Client().CoreV1().Pods(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "all pods gone", func() (bool, string) {
		left := len(list())
		return left == 0, fmt.Sprintf("%d left", left)
	})
}

func TestServiceAccountsGiveAPodItsToken(t *testing.T) {
	c := Start(t, WithServiceAccounts())
	ns := c.Namespace(t)
	Eventually(t, "the namespace has its account", func() (bool, string) {
		_, err := c.Client().CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	yes := true
	pod := c.CreatePod(t, ns, "one", func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = &yes })
	if len(pod.Spec.Volumes) != 1 || pod.Spec.Volumes[0].Projected == nil {
		t.Errorf("the pod has volumes %v; want one with its token", pod.Spec.Volumes)
	}
}

func TestLogsAreKeptApartFromData(t *testing.T) {
	dir := t.TempDir()
	c := Start(t, withLogs(dir))
	c.Stop()
	c.Stop() // and once more at the test's end
	if text, err := os.ReadFile(dir + "/kube-apiserver.log"); err != nil || len(text) == 0 {
		t.Errorf("log of the API server: %d bytes, %v", len(text), err)
	}
}

func TestAHeldPortIsForWhoAsksForItByNumber(t *testing.T) {
	port := HoldPort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("somebody listens before the program does")
	}
	for range 2 { // a program may start again
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	// Who asks for any port, and has but this one to choose from: IP_LOCAL_PORT_RANGE of ip(7).
	const localPortRange = 51
	any := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, localPortRange, port<<16|port) })
		return errors.Join(ctlErr, err)
	}}
	l, err := any.Listen(t.Context(), "tcp", "127.0.0.1:0")
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		t.Skip("SKIPPED: this kernel has no IP_LOCAL_PORT_RANGE")
	case err == nil:
		l.Close()
		t.Error("it was given to somebody who asked for any port")
	case !errors.Is(err, unix.EADDRINUSE):
		t.Error(err)
	}
}

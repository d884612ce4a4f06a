package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	ufmUser     = "admin"
	ufmPassword = "123456"
	// creators is how many clients make pods at once, as a Job controller's workers do.
	creators = 8
	// nodeName is on every pod: ib-kubernetes serves none that is not scheduled.
	nodeName = "bench-node"
)

const nadYAML = `
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {namespace: %s, name: %s}
spec: {config: '%s'}
`

// world is what one measurement has to itself: a namespace with networks, and a UFM.
type world struct {
	testCase
	bed *testbed.Cluster
	api *kubernetes.Clientset
	ns  string
	sim *ufmsim.Sim
	ufm *ufmsim.Server
}

func newWorld(ctx context.Context, bed *testbed.Cluster, c testCase, ns string) (*world, error) {
	config := bed.Config()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	w := &world{testCase: c, bed: bed, api: api, ns: ns}
	if err := w.makeNetworks(ctx); err != nil {
		return nil, err
	}
	w.sim, err = ufmsim.New(ufmsim.Config{Username: ufmUser, Password: ufmPassword, Timing: ufmsim.Timing{Change: ufmChange}})
	if err != nil {
		return nil, fmt.Errorf("make a UFM: %w", err)
	}
	if w.ufm, err = w.sim.Start("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start a UFM: %w", err)
	}
	return w, nil
}

func (w *world) makeNetworks(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if _, err := w.api.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	for i := range w.Networks {
		name, p := network(i)
		// The plugin stands alone, not in a list: ib-kubernetes' watch knows no lists.
		config := fmt.Sprintf(`{"cniVersion":"0.3.1","name":%q,"type":"ib-sriov","pkey":%q,"ibKubernetesEnabled":true}`, name, p)
		nad := fmt.Sprintf(nadYAML, w.ns, name, config)
		if err := w.bed.Apply(ctx, []byte(nad)); err != nil {
			return fmt.Errorf("make network %s: %w", name, err)
		}
	}
	return nil
}

func podName(i int) string { return fmt.Sprintf("p%05d", i) }

func (w *world) createPod(ctx context.Context, i int) error {
	atOnce, no := int64(0), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.ns, Name: podName(i),
			Annotations: map[string]string{attach.NetworksAnnotation: w.annotation(i)},
		},
		Spec: corev1.PodSpec{
			NodeName: nodeName, TerminationGracePeriodSeconds: &atOnce, AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}
	if _, err := w.api.CoreV1().Pods(w.ns).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make pod %s: %w", pod.Name, err)
	}
	return nil
}

func (w *world) deletePod(ctx context.Context, i int) error {
	atOnce := int64(0)
	if err := w.api.CoreV1().Pods(w.ns).Delete(ctx, podName(i), metav1.DeleteOptions{GracePeriodSeconds: &atOnce}); err != nil {
		return fmt.Errorf("delete pod %s: %w", podName(i), err)
	}
	return nil
}

// each does something for every pod number below n, from several clients.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var clients sync.WaitGroup
	for range creators {
		clients.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	clients.Wait()
	return context.Cause(ctx)
}

// members is how many GUIDs stand in UFM.
func (w *world) members() (n int) {
	for i := range w.Networks {
		_, p := network(i)
		n += len(w.sim.Members(p))
	}
	return n
}

// environment tells a contender where everything is.
func (w *world) environment() []string {
	host, port, _ := net.SplitHostPort(w.ufm.Addr()) // of a listener: it has both
	return []string{
		"KUBECONFIG=" + w.bed.Kubeconfig(), "POD_NAMESPACE=" + w.ns,
		"UFM_USERNAME=" + ufmUser, "UFM_PASSWORD=" + ufmPassword,
		"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_CERTIFICATE=" + string(w.ufm.CertPEM()),
	}
}

// networkFlag is the networks as the bare loop wants them.
func (w *world) networkFlag() string {
	var list []string
	for i := range w.Networks {
		name, p := network(i)
		list = append(list, name+"="+p.String())
	}
	return strings.Join(list, ",")
}

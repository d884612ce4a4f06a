package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// namespace is the release's.
const namespace = "fabric-system"

// controllerUser is the controller's account, as the API server calls it.
const controllerUser = "system:serviceaccount:" + namespace + ":ibfabric-controller"

// world is a cluster with a UFM, in which the chart is installed.
type world struct {
	t   *testing.T
	rig *rig.Rig
	bed *testbed.Cluster
	api client.Client // refuses unknown fields, as kubectl does
	dir string
	sim *ufmsim.Sim
	ufm *ufmsim.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	audit, err := audited(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.Start(t.Context(), testbed.WithScheduler(), testbed.WithNodes(2), audit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "12345"})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	scheme, err := controller.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(r.Bed.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rig: r, bed: r.Bed, dir: dir, sim: sim, ufm: srv, api: client.WithFieldValidation(api, metav1.FieldValidationStrict)}
	w.make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	return w
}

func (w *world) ctx() context.Context { return w.t.Context() }

func (w *world) make(o client.Object) {
	w.t.Helper()
	if err := w.api.Create(w.ctx(), o); err != nil {
		w.t.Fatalf("make %T %s: %v", o, o.GetName(), err)
	}
}

// render gives the objects of a release with these values, in the order of their files.
func render(t *testing.T, values string) (objects []*unstructured.Unstructured) {
	t.Helper()
	touchChart(t)
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../../deploy/tools", "run", "./ibfabric-chart", "template", "-root", "../..", "-namespace", namespace, "-values", "-")
	cmd.Stdin = strings.NewReader(values)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("render the chart: %v\n%s", err, said.String())
	}
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := documents.Decode(o); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// touchChart opens what another process reads: go test remembers a result for as long as the
// files that the test itself opened stay the same.
func touchChart(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../../deploy/chart", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// install makes the objects, with one difference: the webhooks lead to this machine, where the
// controller runs, and may take longer. Those of ibfabric's kinds that stand already are left.
func (w *world) install(objects []*unstructured.Unstructured, port int) {
	w.t.Helper()
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			text, err := o.MarshalJSON()
			if err == nil {
				err = w.bed.Apply(w.ctx(), text) // and waits until the kind is served
			}
			if err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		if err := rig.Lead(o, port); err != nil {
			w.t.Fatal(err)
		}
		w.make(o)
	}
}

// secrets makes what the guide has its readers make, and a ConfigMap as ib-kubernetes'.
func (w *world) secrets() {
	w.t.Helper()
	host, port, err := net.SplitHostPort(w.ufm.Addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ib-kubernetes-ufm-secret"}, Data: map[string][]byte{
		"UFM_USER": []byte("admin"), "UFM_PASSWORD": []byte("12345"), "UFM_ADDRESS": []byte(host), "UFM_PORT": []byte(port),
		"UFM_HTTP_SCHEMA": nil, "UFM_CERTIFICATE": w.ufm.CertPEM(),
	}})
	w.make(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ib-kubernetes-config"}, Data: map[string]string{
		"DAEMON_SM_PLUGIN": "ufm", "DAEMON_PERIODIC_UPDATE": "5",
		"GUID_POOL_RANGE_START": "02:00:00:00:00:00:aa:00", "GUID_POOL_RANGE_END": "02:00:00:00:00:00:aa:FF",
	}})
}

// token writes a kubeconfig with a token of an account, as a pod has one.
func (w *world) token(account string) (kubeconfig string) {
	w.t.Helper()
	lasts := int64(3600)
	t, err := w.bed.Client().CoreV1().ServiceAccounts(namespace).CreateToken(w.ctx(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lasts},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.bed.Config()
	out := clientcmdapi.NewConfig()
	out.Clusters["bed"] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	out.AuthInfos["pod"] = &clientcmdapi.AuthInfo{Token: t.Status.Token}
	out.Contexts["bed"] = &clientcmdapi.Context{Cluster: "bed", AuthInfo: "pod"}
	out.CurrentContext = "bed"
	kubeconfig = filepath.Join(w.dir, account+".kubeconfig")
	if err := clientcmd.WriteToFile(*out, kubeconfig); err != nil {
		w.t.Fatal(err)
	}
	return kubeconfig
}

// run does what a kubelet would with the controller's container: its arguments, its
// variables, and its Secret and ConfigMap as files. more come behind, for what this machine
// has otherwise than a pod.
func (w *world) run(pod corev1.PodSpec, kubeconfig string, more ...string) (*programs.Process, *rig.Log) {
	w.t.Helper()
	container := pod.Containers[0]
	root := w.t.TempDir()
	for _, v := range pod.Volumes {
		w.mount(v, container, root)
	}
	var args []string
	for _, a := range container.Args {
		args = append(args, strings.ReplaceAll(a, "/etc/ibfabric", filepath.Join(root, "/etc/ibfabric")))
	}
	fields := map[string]string{"metadata.namespace": namespace, "metadata.name": "controller-0", "status.podIP": "127.0.0.1"}
	env := []string{"KUBECONFIG=" + kubeconfig, "TMPDIR=" + w.t.TempDir()}
	for _, e := range container.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = fields[e.ValueFrom.FieldRef.FieldPath]
		}
		env = append(env, e.Name+"="+value)
	}
	out := &rig.Log{}
	p, err := w.rig.Launcher.Start(programs.Command{Program: w.rig.Program(), Out: out, Args: append(args, more...), Env: append(env, "IBFABRIC_CONSOLE_ADDRESS=127.0.0.1:0")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Kill)
	w.t.Cleanup(func() {
		if lines := strings.Split(out.String(), "\n"); w.t.Failed() {
			w.t.Logf("the controller said, at the end:\n%s", strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	})
	return p, out
}

func (w *world) mount(v corev1.Volume, c corev1.Container, root string) {
	w.t.Helper()
	files := map[string][]byte{}
	switch core := w.bed.Client().CoreV1(); {
	case v.Secret != nil:
		s, err := core.Secrets(namespace).Get(w.ctx(), v.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		files = s.Data
	case v.ConfigMap != nil:
		m, err := core.ConfigMaps(namespace).Get(w.ctx(), v.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		for name, text := range m.Data {
			files[name] = []byte(text)
		}
	}
	for _, m := range c.VolumeMounts {
		if m.Name != v.Name {
			continue
		}
		dir := filepath.Join(root, m.MountPath)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// apply makes the objects of a file of testdata, webhooks and all.
func (w *world) apply(file string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		w.t.Fatal(err)
	}
	// The webhooks may be called before their certificate has come to the API server.
	testbed.Eventually(w.t, "the objects of "+file+" are taken", func() (bool, string) {
		err := w.bed.Apply(w.ctx(), text)
		return err == nil, fmt.Sprint(err)
	})
}

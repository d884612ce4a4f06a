package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const (
	user     = "admin"
	password = "s3cret_of_ufm"
)

// shared is the cluster of all tests here. The command is built beside the controller.
var shared = rig.Shared{Prepare: func(ctx context.Context, r *rig.Rig) error {
	return programs.Build(ctx, filepath.Dir(r.Program()), false, "cmd/ibfabric")
}}

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// world is a fabric in a namespace of its own.
type world struct {
	t   *testing.T
	rig *rig.Rig
	bed *testbed.Cluster
	ns  string
	sim *ufmsim.Sim
	ufm *ufmsim.Server
	log rig.Log // of the controllers

	mu     sync.Mutex // protects what follows
	said   bytes.Buffer
	tokens []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	r := shared.Rig(t)
	sim, err := ufmsim.New(ufmsim.Config{Username: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	w := &world{t: t, rig: r, bed: r.Bed, ns: r.Bed.Namespace(t), sim: sim, ufm: srv}
	t.Cleanup(func() {
		if t.Failed() {
			lines := strings.Split(w.log.String(), "\n")
			t.Logf("the controllers said, at the end:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return w
}

// start runs a controller. Its lease is long: one that cannot renew it ends, and on a busy
// machine that would be the end of the test.
func (w *world) start() *programs.Process {
	w.t.Helper()
	host, port, _ := strings.Cut(w.ufm.Addr(), ":")
	p, err := w.rig.Launcher.Start(programs.Command{
		Program: w.rig.Program(), Out: &w.log,
		Args: []string{
			"--fabric=" + w.ns, "--network-selector=fabric=" + w.ns, "--namespace=" + w.ns,
			"--health-address=0", "--console-address=127.0.0.1:0", "--sync-period=1s", "--hold=1h",
			"--lease-duration=20s", "--lease-renew=15s", "--lease-retry=300ms", "--ufm-timeout=3s",
		},
		Env: []string{
			"KUBECONFIG=" + w.bed.Kubeconfig(), "UFM_USERNAME=" + user, "UFM_PASSWORD=" + password,
			"UFM_ADDRESS=" + host, "UFM_PORT=" + port, "UFM_CERTIFICATE=" + string(w.ufm.CertPEM()),
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Kill)
	return p
}

func (w *world) network(name, pkey string) {
	w.t.Helper()
	config := fmt.Sprintf(`{"cniVersion":"0.3.1","name":%q,"type":"ib-sriov","pkey":%q}`, name, pkey)
	text := fmt.Sprintf("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {namespace: %s, name: %s, labels: {fabric: %s}}\nspec: {config: %q}\n", w.ns, name, w.ns, config)
	if err := w.bed.Apply(w.t.Context(), []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pod(name, networks string, edit ...func(*corev1.Pod)) {
	w.t.Helper()
	on := func(p *corev1.Pod) { p.Annotations = map[string]string{attach.NetworksAnnotation: networks} }
	w.bed.CreatePod(w.t, w.ns, name, append([]func(*corev1.Pod){on}, edit...)...)
}

// result is what came of a call.
type result struct {
	code     int
	out, err string
}

// as calls the command with somebody's kubeconfig.
func (w *world) as(kubeconfig string, args ...string) result {
	w.t.Helper()
	cmd := w.command(w.t.Context(), kubeconfig, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.said, "%v\n%s%s", args, out.String(), errs.String())
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (w *world) command(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	args = append([]string{"--kubeconfig", kubeconfig, "--fabric", w.ns, "--controller-namespace", w.ns}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(w.rig.Program()), "ibfabric"), args...)
	cmd.Env = programs.Environment()
	return cmd
}

// admin calls the command with every right.
func (w *world) admin(args ...string) result { w.t.Helper(); return w.as(w.bed.Kubeconfig(), args...) }

// read calls it for JSON, which must come with one of the exit codes 0 and 1.
func (w *world) read(into any, args ...string) {
	w.t.Helper()
	if r := w.admin(append(args, "-o", "json")...); r.code > 1 || json.Unmarshal([]byte(r.out), into) != nil {
		w.t.Fatalf("%v: %+v", args, r)
	}
}

// account is the kubeconfig of a service account with a token and some rules, in the
// controller's namespace and for nonresource URLs.
func (w *world) account(name string, role []rbacv1.PolicyRule, verb string, urls ...string) string {
	w.t.Helper()
	ctx, c := w.t.Context(), w.bed.Client()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	_, err := c.CoreV1().ServiceAccounts(w.ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	must(err)
	token, err := c.CoreV1().ServiceAccounts(w.ns).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(err)
	subject := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: name}}
	_, err = c.RbacV1().Roles(w.ns).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: role}, metav1.CreateOptions{})
	must(err)
	_, err = c.RbacV1().RoleBindings(w.ns).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}}, metav1.CreateOptions{})
	must(err)
	if len(urls) > 0 {
		wide := w.ns + "-" + name
		_, err = c.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: wide}, Rules: []rbacv1.PolicyRule{{Verbs: []string{verb}, NonResourceURLs: urls}}}, metav1.CreateOptions{})
		must(err)
		_, err = c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: wide}, Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: wide}}, metav1.CreateOptions{})
		must(err)
	}
	account := "system:serviceaccount:" + w.ns + ":" + name
	for _, r := range role {
		w.bed.Allowed(w.t, account, nil, authorizationv1.SubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.ns, Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: r.Resources[0]},
		})
	}
	for _, url := range urls {
		w.bed.Allowed(w.t, account, nil, authorizationv1.SubjectAccessReviewSpec{
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: url},
		})
	}
	w.mu.Lock()
	w.tokens = append(w.tokens, token.Status.Token)
	w.mu.Unlock()
	cfg := w.bed.Config()
	config := clientcmdapi.NewConfig()
	config.Clusters["bed"] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["bed"] = &clientcmdapi.Context{Cluster: "bed", AuthInfo: name, Namespace: w.ns}
	config.CurrentContext = "bed"
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	must(clientcmd.WriteToFile(*config, file))
	return file
}

// finding lets an account find the console.
func finding() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{"ibfabric.io"}, Resources: []string{"journals"}, Verbs: []string{"get"}}}
}

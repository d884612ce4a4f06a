package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/rig"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const (
	networksHook = "ibfabric-webhook"
	podsHook     = "zz-ibfabric-webhook"
	secondHook   = "storage-webhook" // a second fabric's
)

// install applies the manifests as they are shipped, but for this world's namespace and port.
func (w *world) install() {
	w.t.Helper()
	w.t.Cleanup(w.uninstall)
	edit := func(text []byte) []byte { return text }
	if w.first != nil {
		edit = w.secondFabrics
	}
	if err := rig.InstallAdmission(w.ctx(), w.bed, w.ns, w.port, edit); err != nil {
		w.t.Fatal(err)
	}
	w.may(w.account(), w.ns, "create", "secrets") // without which a controller ends
}

// may waits until somebody has a right that was just granted.
func (w *world) may(user, namespace, verb, resource string) {
	w.t.Helper()
	w.bed.Allowed(w.t, user, nil, authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: resource},
	})
}

// secondFabrics are the manifests as docs/tenancy.md has them changed for a second fabric.
func (w *world) secondFabrics(text []byte) []byte {
	both := fmt.Sprintf("['%s', '%s']", w.first.account(), w.account())
	text = bytes.ReplaceAll(text, fmt.Appendf(nil, "['%s']", w.account()), []byte(both))
	text = bytes.ReplaceAll(text, []byte("ibfabric-admission"), []byte("storage-admission"))
	return bytes.ReplaceAll(text, []byte(networksHook), []byte(secondHook))
}

// service is what the webhooks of this world's fabric are called by.
func (w *world) service() string {
	if w.first != nil {
		return secondHook
	}
	return networksHook
}

// uninstall takes away what would be in the next test's way, and waits until the API server
// goes by it no more.
func (w *world) uninstall() {
	w.t.Helper()
	api := w.bed.Client().AdmissionregistrationV1()
	ctx, none := context.Background(), metav1.DeleteOptions{} // the test's own has ended
	for _, service := range []string{networksHook, secondHook} {
		_ = api.ValidatingWebhookConfigurations().Delete(ctx, service, none)
		for _, name := range []string{service + "-inject", "zz-" + service} {
			_ = api.MutatingWebhookConfigurations().Delete(ctx, name, none)
		}
	}
	for _, name := range []string{"ibfabric-pods", "ibfabric-bindings"} {
		_ = api.ValidatingAdmissionPolicyBindings().Delete(ctx, name, none)
		_ = api.ValidatingAdmissionPolicies().Delete(ctx, name, none)
	}
	testbed.Eventually(w.t, "nobody is asked about networks and pods", func() (bool, string) {
		network := w.nad("probe", infiniBand("0x8001"), nil)
		pod := w.draft("probe", pinned("nothing", "02:00:00:00:00:00:00:01"), gatedBy("ibfabric.io/nobodys"))
		marked := w.draft("marked", pinned("nothing", "02:00:00:00:00:00:00:01"))
		err := errors.Join(w.api.Create(ctx, network, client.DryRunAll), w.api.Create(ctx, pod, client.DryRunAll), w.api.Create(ctx, marked, client.DryRunAll))
		return err == nil, fmt.Sprint(err)
	})
}

// point lets the webhooks be called at another port, as a Service leads to another replica.
func (w *world) point(port int) {
	w.t.Helper()
	w.port = port
	testbed.Eventually(w.t, "the webhooks are called elsewhere", func() (bool, string) {
		var networks admissionregistrationv1.ValidatingWebhookConfiguration
		var pods admissionregistrationv1.MutatingWebhookConfiguration
		err := errors.Join(w.api.Get(w.ctx(), client.ObjectKey{Name: networksHook}, &networks), w.api.Get(w.ctx(), client.ObjectKey{Name: podsHook}, &pods))
		if err != nil {
			return false, err.Error()
		}
		to := int32(port)
		networks.Webhooks[0].ClientConfig.Service.Port, pods.Webhooks[0].ClientConfig.Service.Port = &to, &to
		err = errors.Join(w.api.Update(w.ctx(), &networks), w.api.Update(w.ctx(), &pods))
		return err == nil, fmt.Sprint(err)
	})
	w.judged()
}

// account is the user that the shipped manifests know the controller as.
func (w *world) account() string { return "system:serviceaccount:" + w.ns + ":ibfabric-controller" }

// start runs a controller with admission, and waits until it gates and refuses.
func (w *world) start(flags ...string) *programs.Process {
	w.t.Helper()
	p := w.startOn(w.port, flags...)
	w.open()
	return p
}

// startOn runs a controller under its own account, with no right that is not listed here or
// in the manifests. Its lease outlasts a busy machine's pauses: one that cannot renew it ends.
func (w *world) startOn(port int, flags ...string) *programs.Process {
	w.t.Helper()
	kubeconfig, err := w.bed.KubeconfigFor(w.account(), "system:serviceaccounts", "system:serviceaccounts:"+w.ns)
	if err != nil {
		w.t.Fatal(err)
	}
	w.grant(w.account(), controllerRules())
	host, ufmPort, _ := strings.Cut(w.ufm.Addr(), ":")
	out := &rig.Log{}
	w.logs = append(w.logs, out)
	p, err := w.rig.Launcher.Start(programs.Command{
		Program: w.rig.Program(), Out: out,
		Args: append([]string{
			"--admission", fmt.Sprintf("--webhook-port=%d", port), "--webhook-service=" + w.service(),
			"--fabric=" + w.ns, "--network-selector=fabric=" + w.ns, "--namespace=" + w.ns,
			"--health-address=0", "--console-address=0", "--sync-period=1s", "--hold=1h", "--log-level=debug",
			"--lease-duration=10s", "--lease-renew=8s", "--lease-retry=300ms", "--ufm-timeout=3s",
		}, flags...),
		Env: []string{
			"KUBECONFIG=" + kubeconfig, "UFM_USERNAME=admin", "UFM_PASSWORD=secret", "UFM_ADDRESS=" + host,
			"UFM_PORT=" + ufmPort, "UFM_CERTIFICATE=" + string(w.ufm.CertPEM()),
			"TMPDIR=" + w.t.TempDir(), // a killed one leaves a folder
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Kill)
	return p
}

// open waits until both webhooks answer, which the policies in the API server follow.
func (w *world) open() {
	w.t.Helper()
	w.judged()
	w.policed()
	w.network("probe-network", "0x7000")
}

// judged waits until the networks' webhook answers.
func (w *world) judged() {
	w.t.Helper()
	testbed.Eventually(w.t, "the networks' webhook answers", func() (bool, string) {
		err := w.api.Create(w.ctx(), w.nad("probe", infiniBand("0x8001"), nil), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "denied the request"), fmt.Sprint(err)
	})
}

// policed waits until the policies of pods and of bindings are in force.
func (w *world) policed() {
	w.t.Helper()
	testbed.Eventually(w.t, "the policy of pods is in force", func() (bool, string) {
		err := w.api.Create(w.ctx(), w.draft("probe", `[{"name":"nothing","infiniband-guid":"02:00:00:00:00:00:00:01"}]`), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), fmt.Sprint(err)
	})
	testbed.Eventually(w.t, "the policy of bindings is in force", func() (bool, string) {
		binding := bindingOf(w.ns, "probe")
		binding.Annotations = map[string]string{attach.NetworksAnnotation: "rail1"}
		err := w.api.SubResource("binding").Create(w.ctx(), w.draft("probe", ""), binding) // there is no such pod
		return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), fmt.Sprint(err)
	})
}

// controllerRules are the rights of a controller without admission.
func controllerRules() []rbacv1.PolicyRule {
	rule := func(verbs []string, group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	read, all := []string{"get", "list", "watch"}, []string{"*"}
	return []rbacv1.PolicyRule{
		rule(read, "", "nodes", "namespaces"), rule([]string{"get", "list", "watch", "patch"}, "", "pods"), rule([]string{"patch"}, "", "namespaces"),
		rule(all, "", "events"), rule(all, "events.k8s.io", "events"),
		rule(all, "coordination.k8s.io", "leases"), rule(read, "apps", "deployments", "daemonsets"),
		rule(all, "k8s.cni.cncf.io", "*"), rule(all, "ibfabric.io", "*"), rule(all, "spiderpool.spidernet.io", "*"),
		rule(read, "apiextensions.k8s.io", "customresourcedefinitions"),
		rule([]string{"create"}, "authorization.k8s.io", "subjectaccessreviews"),
	}
}

// tenantRules are those of somebody who owns a namespace, and of a scheduler besides.
func tenantRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"*"}},
		{APIGroups: []string{"k8s.cni.cncf.io"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}
}

func (w *world) grant(user string, rules []rbacv1.PolicyRule) {
	w.t.Helper()
	name := strings.NewReplacer(":", "-", "/", "-").Replace(user) + "-of-" + w.ns
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := w.api.Create(w.ctx(), object); client.IgnoreAlreadyExists(err) != nil {
			w.t.Fatal(err)
		}
	}
	w.may(user, "", rules[0].Verbs[0], rules[0].Resources[0])
}

// showLogs prints the end of what the controllers said when the test failed.
func (w *world) showLogs() {
	for i, l := range w.logs {
		text := l.String()
		if strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			w.t.Errorf("controller %d has a data race or panicked", i+1)
		}
		if lines := strings.Split(text, "\n"); w.t.Failed() {
			w.t.Logf("controller %d said, at the end:\n%s", i+1, strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	}
}

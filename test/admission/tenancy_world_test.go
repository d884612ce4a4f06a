package admission

import (
	"context"
	"fmt"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/deploy"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// keyOfA is the PKey of tenant a's Partition, which grants a's namespace alone.
const keyOfA = pkey.PKey(0x30)

// tenants are two on one cluster. Tenant a has a Partition, a network and a pod in it;
// tenant b has none of that, and tries.
type tenants struct {
	*world
	a, b   string        // their namespaces
	bob    client.Client // b's owner: every right in there that a tenant could have
	guidA  guid.GUID
	server guid.GUID // a machine's in a's partition, which is no pod
	podA   string    // what a's pod says of itself
	seen   *sightings
}

// newTenants starts the controller, with admission or without, and both tenants.
func newTenants(t *testing.T, admission bool) *tenants {
	w := newWorld(t)
	w.applySpiderpoolKinds()
	if admission {
		w.install()
	}
	x := &tenants{world: w, a: w.bed.Namespace(t), b: w.bed.Namespace(t), seen: &sightings{}}
	x.server = guid.GUID(0x0300_0000_0000_0077)
	if err := w.sim.Preload(pkey.Partition{PKey: keyOfA, Members: []pkey.Member{{GUID: x.server, Mode: pkey.Mode{Membership: pkey.Full}}}}); err != nil {
		t.Fatal(err)
	}
	x.label(x.a, "tenant", x.a)
	part := &v1alpha1.Partition{
		ObjectMeta: metav1.ObjectMeta{Name: w.ns, Labels: map[string]string{"fabric": w.ns}},
		Spec:       v1alpha1.PartitionSpec{PKey: keyOfA.String(), Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"tenant": x.a}}},
	}
	w.must(part)
	t.Cleanup(func() { _ = w.api.Delete(context.Background(), part) })
	flags := []string{"--pkey-range=0x1000-0x10ff", "--multus-configs=on"}
	if admission {
		w.start(flags...)
	} else {
		w.startOn(w.port, append(flags, "--admission=false")...)
	}
	x.settle()
	return x
}

func (w *world) applySpiderpoolKinds() {
	w.t.Helper()
	text, err := deploy.SpiderpoolCRDs.ReadFile("crds-spiderpool/spidermultusconfigs.yaml")
	if err == nil {
		err = w.bed.Apply(w.ctx(), text)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) must(object client.Object) {
	w.t.Helper()
	if err := w.api.Create(w.ctx(), object); err != nil {
		w.t.Fatalf("%s: %v", object.GetName(), err)
	}
}

func (w *world) label(namespace, key, value string) {
	w.t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, key, value))
	if err := w.api.Patch(w.ctx(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch); err != nil {
		w.t.Fatal(err)
	}
}

// settle gives a its pod, and b its rights and what it may have.
func (x *tenants) settle() {
	x.t.Helper()
	train := x.draft("train", "net", out)
	train.Namespace = x.a
	testbed.Eventually(x.t, "a gets its network, by its grant", func() (bool, string) {
		err := x.api.Create(x.ctx(), x.netOf(x.a, "net", infiniBand(keyOfA.String())))
		return client.IgnoreAlreadyExists(err) == nil, fmt.Sprint(err)
	})
	x.must(train)
	testbed.Eventually(x.t, "a's pod is in a's partition", func() (bool, string) {
		x.podA = x.networksOf(x.a, "train")
		e, _ := attach.ParseAnnotation(x.a, x.podA)
		if len(e) == 1 && e[0].Configured {
			x.guidA = e[0].GUID
		}
		return x.guidA != 0, x.podA
	})
	x.bob = x.tenant("bob", tenantsRules())
	for name, config := range map[string]string{
		"own": infiniBand("0x50"), "static": `{"type":"ib-sriov","ibKubernetesEnabled":false}`, "bridge": `{"type":"bridge"}`,
	} {
		if err := x.bob.Create(x.ctx(), x.netOf(x.b, name, config)); err != nil {
			x.t.Fatal(err)
		}
	}
	nobodys := x.netOf(x.b, "nobodys", `{"type":"ib-sriov","ibKubernetesEnabled":false}`)
	nobodys.Labels = nil
	if err := x.bob.Create(x.ctx(), nobodys); err != nil {
		x.t.Fatal(err)
	}
	x.seen.follow(x)
}

// in are the tenants as a subtest has them.
func (x *tenants) in(t *testing.T) *tenants {
	w, y := *x.world, *x
	w.t, y.world = t, &w
	return &y
}

// tenantsRules are more than the cluster role admin gives, in one namespace: what else
// people hand out is in the way of no test here.
func tenantsRules() []rbacv1.PolicyRule {
	all := []string{"*"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "pods/status", "pods/ephemeralcontainers", "pods/resize", "pods/binding", "bindings", "configmaps"}, Verbs: all},
		{APIGroups: []string{"k8s.cni.cncf.io", "spiderpool.spidernet.io"}, Resources: all, Verbs: all},
		{APIGroups: []string{v1alpha1.GroupVersion().Group}, Resources: []string{"partitionclaims"}, Verbs: all},
	}
}

// tenant is a client of somebody with these rights in b's namespace, and no others.
func (x *tenants) tenant(name string, rules []rbacv1.PolicyRule) client.Client {
	x.t.Helper()
	user := name + "-of-" + x.b
	file, err := x.bed.KubeconfigFor(user)
	if err != nil {
		x.t.Fatal(err)
	}
	x.must(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: x.b, Name: name}, Rules: rules})
	x.must(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: x.b, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	})
	x.may(user, x.b, "create", "pods")
	return x.clientOf(file)
}

// netOf is a network of this fabric in a tenant's namespace.
func (x *tenants) netOf(namespace, name, config string) *nadv1.NetworkAttachmentDefinition {
	nad := x.nad(name, config, nil)
	nad.Namespace = namespace
	return nad
}

func (x *tenants) networksOf(namespace, name string) string {
	var pod corev1.Pod
	if err := x.api.Get(x.ctx(), types.NamespacedName{Namespace: namespace, Name: name}, &pod); err != nil {
		return err.Error()
	}
	return pod.Annotations[attach.NetworksAnnotation]
}

// unharmed wants a to have what it had.
func (x *tenants) unharmed() {
	x.t.Helper()
	if now := x.networksOf(x.a, "train"); now != x.podA {
		x.t.Errorf("a's pod says %s, and said %s", now, x.podA)
	}
	x.inUFM(keyOfA, x.guidA, x.server)
}

// told waits for an Event about a pod of b that says something.
func (x *tenants) told(t testing.TB, pod, says string) {
	t.Helper()
	testbed.Eventually(t, "pod "+pod+" is told "+says, func() (bool, string) {
		var list corev1.EventList
		if err := x.api.List(x.ctx(), &list, client.InNamespace(x.b)); err != nil {
			return false, err.Error()
		}
		var all []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name == pod {
				all = append(all, e.Reason+": "+e.Message)
			}
		}
		text := strings.Join(all, "\n")
		return strings.Contains(text, says), text
	})
}

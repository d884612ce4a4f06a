package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// seldom are rights that the run below may not need, with the reason to grant them. All
// others must be used in it.
func seldom() map[request]string {
	return map[request]string{
		{Verb: "get", Resource: "pods"}:                                  "a pod that changed while it was written to is read again",
		{Verb: "patch", Group: "events.k8s.io", Resource: "events"}:      "an Event that comes again within minutes is counted",
		{Verb: "get", Group: "ibfabric.io", Resource: "ledgers"}:         "a shard that somebody else wrote to is read again",
		{Verb: "delete", Group: "ibfabric.io", Resource: "ledgers"}:      "a shard that had no rows for an hour goes",
		{Verb: "get", Group: "ibfabric.io", Resource: "partitions"}:      "a claim's Partition that the cache does not show is asked for",
		{Verb: "get", Group: "ibfabric.io", Resource: "partitionclaims"}: "a claim that the cache does not show is asked for",

		{Verb: "get", Group: "spiderpool.spidernet.io", Resource: "spidermultusconfigs"}: "a config is read again before its network is deleted",
		// The API server asks for it when a network gets its owner, and audits no such question.
		{Verb: "update", Group: "spiderpool.spidernet.io", Resource: "spidermultusconfigs/finalizers"}: "where owners are checked, as in OpenShift",
		// These two kinds are not in this cluster.
		{Verb: "watch", Group: "spiderpool.spidernet.io", Resource: "spiderippools"}:              "pools that are not there are told of",
		{Verb: "watch", Group: "sriovnetwork.openshift.io", Resource: "sriovnetworknodepolicies"}: "policies that take the same cards are told of",
		// The console's journal, which not every version keeps.
		{Verb: "get", Group: "ibfabric.io", Resource: "journals"}:    "a page that somebody else wrote to is read again",
		{Verb: "list", Group: "ibfabric.io", Resource: "journals"}:   "a new leader reads what was written",
		{Verb: "create", Group: "ibfabric.io", Resource: "journals"}: "a page that is full is followed by another",
		{Verb: "update", Group: "ibfabric.io", Resource: "journals"}: "what was done is written down",
	}
}

// TestTheRightsAreThoseOfAFullRun installs the chart, and runs the controller as the pod that
// it describes: with the token of its account, its flags, the guide's Secret and the
// ConfigMap of ib-kubernetes. It is denied nothing, and is given nothing that it does not use.
func TestTheRightsAreThoseOfAFullRun(t *testing.T) {
	w := newWorld(t)
	port := testbed.HoldPort(t)
	objects := render(t, `{multusConfigs: {installCRD: true}, pkeys: {range: 0x1100-0x11ff}}`)
	w.secrets()
	w.tries(render(t, secondFabric))
	w.restricted(objects)
	w.install(objects, port)
	for _, right := range rights(granted(t, objects)) {
		w.bed.Allowed(t, controllerUser, nil, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &right})
	}
	w.namesake()
	p := w.controller(objects, port)

	w.apply("networks.yaml")
	w.configured("partition", "rail", "0x1100", "0x1101")
	w.configured("claim", "train-source", "0x1100", "0x1101")
	w.configured("spider", "spider", "0x1000")
	w.edit()
	w.clear()
	if err := p.Stop(programs.StopWithin); err != nil {
		t.Error(err)
	}

	asked, denied := requests(t, auditLog(w.dir))
	if len(asked) < 50 {
		t.Fatalf("the audit log has %d requests", len(asked))
	}
	for _, r := range denied {
		t.Errorf("denied: %+v", r)
	}
	for _, r := range unused(granted(t, objects), asked) {
		if _, ok := seldom()[r]; !ok {
			t.Errorf("granted, and not used: %+v", r)
		}
	}
	w.missing(objects, port)
}

// namesake makes what a tenant can: it is asked about, and nobody waits for it.
func (w *world) namesake() {
	w.t.Helper()
	labels := map[string]string{"app": "namesake"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "ib-kubernetes"}}
	d.Spec.Selector, d.Spec.Template.Labels = &metav1.LabelSelector{MatchLabels: labels}, labels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	w.make(d)
	d.Status.Replicas, d.Status.ReadyReplicas = 1, 1
	if err := w.api.Status().Update(w.ctx(), d); err != nil {
		w.t.Fatal(err)
	}
}

// controller runs the Deployment's container, and waits until it leads.
func (w *world) controller(objects []*unstructured.Unstructured, port int) *programs.Process {
	w.t.Helper()
	var d appsv1.Deployment
	find(w.t, objects, "Deployment", "ibfabric-controller", &d)
	p, log := w.run(d.Spec.Template.Spec, w.token("ibfabric-controller"),
		fmt.Sprintf("--webhook-port=%d", port), "--health-address=0", "--sync-period=1s")
	testbed.Eventually(w.t, "the controller leads", func() (bool, string) {
		return strings.Contains(log.String(), `"event":"leader.adopted"`), fmt.Sprint(p.Ended())
	})
	return p
}

// configured makes a pod on a network, and waits until it runs as a member of one of pkeys.
func (w *world) configured(name, network string, pkeys ...string) {
	w.t.Helper()
	w.pod(name, network)
	testbed.Eventually(w.t, "pod "+name+" runs as a member", func() (bool, string) {
		var pod corev1.Pod
		if err := w.api.Get(w.ctx(), client.ObjectKey{Namespace: "team-a", Name: name}, &pod); err != nil {
			return false, err.Error()
		}
		text := pod.Annotations[nadv1.NetworkAttachmentAnnot]
		isMember := slices.ContainsFunc(pkeys, func(p string) bool { return strings.Contains(text, `"pkey":"`+p+`"`) })
		return isMember && strings.Contains(text, `"configured"`) && strings.Contains(text, "02:00:00:00:00:00:aa:") && pod.Status.Phase == corev1.PodRunning,
			fmt.Sprint(text, pod.Status.Phase, pod.Status.Conditions)
	})
}

// pod makes a pod that waits at the gate, once the webhook knows its network.
func (w *world) pod(name, network string) {
	w.t.Helper()
	testbed.Eventually(w.t, "pod "+name+" waits at the gate", func() (bool, string) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: name, Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: network, "cni.spidernet.io/rdma-resource-inject": ""}},
			Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: new(int64), Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		}
		if err := w.api.Create(w.ctx(), pod, client.DryRunAll); err != nil || len(pod.Spec.SchedulingGates) == 0 {
			return false, fmt.Sprint("no gate; ", err)
		}
		pod.ResourceVersion = ""
		err := w.api.Create(w.ctx(), pod)
		return err == nil, fmt.Sprint(err)
	})
}

// edit changes a config, and waits until its network follows.
func (w *world) edit() {
	w.t.Helper()
	spider := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderMultusConfig"}}
	spider.SetNamespace("team-a")
	spider.SetName("spider")
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"ibfabric.io/also":"0x30:limited"}}}`))
	if err := w.api.Patch(w.ctx(), spider, patch); err != nil {
		w.t.Fatal(err)
	}
	testbed.Eventually(w.t, "the network follows its config", func() (bool, string) {
		var nad nadv1.NetworkAttachmentDefinition
		err := w.api.Get(w.ctx(), client.ObjectKeyFromObject(spider), &nad)
		return err == nil && nad.Annotations["ibfabric.io/also"] != "", fmt.Sprint(err, nad.Annotations)
	})
}

// clear takes all away again, and waits until UFM has no member left.
func (w *world) clear() {
	w.t.Helper()
	inTeam := client.InNamespace("team-a")
	spider := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderMultusConfig"}}
	if err := w.api.DeleteAllOf(w.ctx(), &corev1.Pod{}, inTeam); err != nil {
		w.t.Fatal(err)
	}
	testbed.Eventually(w.t, "UFM has no member", func() (bool, string) {
		n := 0
		for _, p := range w.sim.Partitions() {
			n += len(p.Members)
		}
		return n == 0, fmt.Sprint(n, " members")
	})
	for _, kind := range []client.Object{spider, &v1alpha1.PartitionClaim{}} {
		if err := w.api.DeleteAllOf(w.ctx(), kind, inTeam); err != nil {
			w.t.Fatal(err)
		}
	}
	testbed.Eventually(w.t, "the networks made of them are gone", func() (bool, string) {
		var nads nadv1.NetworkAttachmentDefinitionList
		var claims v1alpha1.PartitionClaimList
		if err := w.api.List(w.ctx(), &nads, inTeam); err != nil {
			return false, err.Error()
		}
		if err := w.api.List(w.ctx(), &claims, inTeam); err != nil {
			return false, err.Error()
		}
		return len(nads.Items) == 2 && len(claims.Items) == 0, fmt.Sprint(len(nads.Items), " networks, ", len(claims.Items), " claims")
	})
}

// missing takes one verb away, and sees that the audit log tells of it: a test that cannot
// see a denial would not see one above.
func (w *world) missing(objects []*unstructured.Unstructured, port int) {
	w.t.Helper()
	var role rbacv1.ClusterRole
	if err := w.api.Get(w.ctx(), client.ObjectKey{Name: "ibfabric-controller"}, &role); err != nil {
		w.t.Fatal(err)
	}
	for i, rule := range role.Rules {
		if slices.Contains(rule.Resources, "pods") {
			role.Rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(verb string) bool { return verb == "patch" })
		}
	}
	if err := w.api.Update(w.ctx(), &role); err != nil {
		w.t.Fatal(err)
	}
	testbed.Eventually(w.t, "the right is gone", func() (bool, string) {
		asks := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: controllerUser, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "patch", Resource: "pods"},
		}}
		answer, err := w.bed.Client().AuthorizationV1().SubjectAccessReviews().Create(w.ctx(), asks, metav1.CreateOptions{})
		return err == nil && !answer.Status.Allowed, fmt.Sprint(answer, err)
	})
	w.controller(objects, port)
	w.pod("denied", "rail")
	want := request{Verb: "patch", Resource: "pods", Name: "denied"}
	testbed.Eventually(w.t, "the controller is denied what it needs", func() (bool, string) {
		_, denied := requests(w.t, auditLog(w.dir))
		return slices.Contains(denied, want), fmt.Sprint(denied)
	})
}

// granted are the rules of all roles that the controller is bound to by the chart.
func granted(t *testing.T, objects []*unstructured.Unstructured) (rules []rbacv1.PolicyRule) {
	t.Helper()
	for _, o := range objects {
		if kind := o.GetKind(); kind != "Role" && kind != "ClusterRole" || slices.Contains([]string{"ibfabric-viewer", "ibfabric-operator", "ibfabric-metrics"}, o.GetName()) {
			continue
		}
		var role rbacv1.ClusterRole // a Role's rules have the same form
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		rules = append(rules, role.Rules...)
	}
	return rules
}

// rights are one of each rule, and one of each role that Kubernetes has and the chart binds:
// who starts before the API server goes by all of them is denied something.
func rights(rules []rbacv1.PolicyRule) []authorizationv1.ResourceAttributes {
	all := []authorizationv1.ResourceAttributes{
		{Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews"},
		{Namespace: metav1.NamespaceSystem, Verb: "get", Resource: "configmaps", Name: "extension-apiserver-authentication"},
	}
	for _, r := range rules {
		right := authorizationv1.ResourceAttributes{Namespace: namespace, Verb: r.Verbs[0], Group: r.APIGroups[0]}
		right.Resource, right.Subresource, _ = strings.Cut(r.Resources[0], "/")
		if len(r.ResourceNames) > 0 {
			right.Name = r.ResourceNames[0]
		}
		all = append(all, right)
	}
	return all
}

// find reads one of the objects.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string, into any) {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the chart has no %s %s", kind, name)
}

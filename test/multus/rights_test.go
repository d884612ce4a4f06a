package multus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/multus"
	"github.com/ibfabric/ibfabric/test/testbed"
)

func may(group, resource, verbs string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: strings.Fields(verbs), ResourceNames: names}
}

// rights are those of a controller, and the ones that controller/multus and
// controller/preflight document.
func rights() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		may("", "nodes", "get list watch"), may("", "pods", "get list watch patch"),
		may("coordination.k8s.io", "leases", "*"), may("ibfabric.io", "*", "*"),
		may("apps", "deployments", "list", "ib-kubernetes"),
		may("authorization.k8s.io", "subjectaccessreviews", "create"),
		may("apiextensions.k8s.io", "customresourcedefinitions", "get list watch"),

		may("spiderpool.spidernet.io", "spidermultusconfigs", "get list watch"),
		may("k8s.cni.cncf.io", "network-attachment-definitions", "list watch create patch delete"),
		may("", "namespaces", "list watch patch"),
		may("events.k8s.io", "events", "create patch"),
		may("apps", "deployments", "list watch", "spiderpool-controller"),
		may("spiderpool.spidernet.io", "spiderippools", "list watch"),
		may("sriovnetwork.openshift.io", "sriovnetworknodepolicies", "list watch"),
		may("apps", "daemonsets", "list watch", "spiderpool-agent"),
	}
}

// accountWith makes an account with these rights and no others.
func (w *world) accountWith(rules []rbacv1.PolicyRule) (kubeconfig string) {
	w.t.Helper()
	user := "user-" + w.ns
	meta := metav1.ObjectMeta{Name: user}
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		},
	} {
		if err := w.api.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
	w.rig.Bed.Allowed(w.t, user, nil, authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "nodes"},
	})
	kubeconfig, err := w.rig.Bed.KubeconfigFor(user)
	if err != nil {
		w.t.Fatal(err)
	}
	return kubeconfig
}

func TestTheRightsThatAreDocumentedAreEnough(t *testing.T) {
	w := newWorld(t)
	w.annotate(map[string]any{multus.RDMAInject: "gpu"})
	w.start(w.accountWith(rights()))
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	w.config("rail", strings.Replace(rail, "0x1000", "0x2000", 1))
	w.becomes("rail", "0x2000")
	w.config("broken", strings.Replace(rail, "0x1000", "0x9000", 1))
	w.told("broken", "NetworkRefused", "spec.ibsriov.pkey")
	w.injects(true)
	w.deleteConfig("rail")
	w.goes("rail")
	if strings.Contains(w.log.String(), "forbidden") {
		t.Error(w.log.String())
	}
}

func TestWhoMayNotLookForSpiderpoolMakesNothingAndSaysWhy(t *testing.T) {
	w := newWorld(t)
	without := rights()
	w.start(w.accountWith(without[:len(without)-1]))
	testbed.Eventually(t, "the missing permission is named", func() (bool, string) {
		for _, line := range w.lines("work.failed") {
			if err, _ := line["err"].(string); strings.Contains(err, "grant the verbs list and watch on daemonsets.apps, resourceNames [spiderpool-agent], in a ClusterRole") {
				return true, ""
			}
		}
		return false, w.log.String()
	})
	w.config("rail", rail)
	w.idle()
	if nad := w.nad("rail"); nad != nil {
		t.Errorf("it made %+v", nad)
	}
}

func TestWhoMayNotAskForRightsTakesEveryNameForSpiderpoolAndSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.controllerIn(w.rig.Bed.Namespace(t), 1, 1)
	without := slices.DeleteFunc(rights(), func(r rbacv1.PolicyRule) bool { return r.Resources[0] == "subjectaccessreviews" })
	w.start(w.accountWith(without))
	w.logged("spiderpool.found", 1)
	w.idle()
	lines := w.lines("work.failed")
	if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["err"]), "grant the verb create on subjectaccessreviews.authorization.k8s.io, in a ClusterRole") {
		t.Errorf("the missing permission is not named once: %v", lines)
	}
}

func TestWhoMayNotReadPoolsSaysWhichPermissionIsMissingAndGoesOn(t *testing.T) {
	w := newWorld(t)
	pools := `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: spiderippools.spiderpool.spidernet.io},
  spec: {group: spiderpool.spidernet.io, scope: Cluster, names: {kind: SpiderIPPool, plural: spiderippools, singular: spiderippool},
    versions: [{name: v2beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`
	if err := w.rig.Bed.Apply(t.Context(), []byte(pools)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the others' pools are not to be looked for
		crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "spiderippools.spiderpool.spidernet.io"}}
		testbed.Eventually(t, "the kind goes", func() (bool, string) {
			err := w.api.Delete(context.Background(), crd)
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
	})
	without := slices.DeleteFunc(rights(), func(r rbacv1.PolicyRule) bool { return r.Resources[0] == "spiderippools" })
	w.start(w.accountWith(without))
	testbed.Eventually(t, "the missing permission is named", func() (bool, string) {
		for _, line := range w.lines("work.failed") {
			if err, _ := line["err"].(string); strings.Contains(err, "grant the verbs list and watch on spiderippools.spiderpool.spidernet.io, in a ClusterRole") {
				return true, ""
			}
		}
		return false, w.log.String()
	})
	w.config("rail", rail)
	w.becomes("rail", "0x1000")
	if n := len(w.lines("work.failed")); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

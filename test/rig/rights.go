package rig

import (
	"context"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// IBKubernetesRules and those below are what the manifests of ib-kubernetes v1.1.1 and the
// charts of Spiderpool grant, as far as these are known by it.
func IBKubernetesRules() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"patch", "get", "list", "watch"}}
}

// SpiderpoolControllerRules are its controller's.
func SpiderpoolControllerRules() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"k8s.cni.cncf.io"}, Resources: []string{"network-attachment-definitions"}, Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}}
}

// SpiderpoolAgentRules are its agent's.
func SpiderpoolAgentRules() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"spiderpool.spidernet.io"}, Resources: []string{"spiderippools/status", "spiderendpoints"}, Verbs: []string{"update", "get", "patch", "create"}}
}

// GrantAccount lets a service account do in all namespaces what rule says, until the test
// ends. Without, a controller takes what is called like ib-kubernetes or Spiderpool for a
// tenant's, and goes by that for a minute: grant first. A second call for the same changes nothing.
func GrantAccount(t testing.TB, bed *testbed.Cluster, namespace, account string, rule rbacv1.PolicyRule) {
	t.Helper()
	roles, meta := bed.Client().RbacV1(), metav1.ObjectMeta{Name: namespace + "-" + account + "-" + rule.Resources[0][:4]}
	_, err := roles.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	_, err = roles.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = roles.ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		_ = roles.ClusterRoles().Delete(context.Background(), meta.Name, metav1.DeleteOptions{}) // the cluster may be gone
	})
	asks := authorizationv1.ResourceAttributes{Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0]}
	if asks.Resource == "spiderippools/status" {
		asks.Resource, asks.Subresource = "spiderippools", "status"
	}
	bed.Allowed(t, "system:serviceaccount:"+namespace+":"+account, nil, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &asks})
}

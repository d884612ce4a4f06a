package control

import (
	"context"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// userWith is somebody with a client certificate and a few rights to nonresource URLs.
func (w *world) userWith(name, verb string, paths ...string) *rest.Config {
	w.t.Helper()
	name = w.ns + "-" + name
	file, err := w.bed.KubeconfigFor(name)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		w.t.Fatal(err)
	}
	w.allow(name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}, verb, paths...)
	return cfg
}

// accountWith is a service account with a token and such rights.
func (w *world) accountWith(name, verb string, paths ...string) *rest.Config {
	w.t.Helper()
	accounts := w.bed.Client().CoreV1().ServiceAccounts(w.ns)
	if _, err := accounts.Create(w.ctx(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	hour := int64(time.Hour / time.Second)
	token, err := accounts.CreateToken(w.ctx(), name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.allow(w.ns+"-"+name, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: name}, verb, paths...)
	return &rest.Config{BearerToken: token.Status.Token}
}

func (w *world) allow(name string, who rbacv1.Subject, verb string, paths ...string) {
	w.t.Helper()
	if len(paths) == 0 {
		return
	}
	rbac := w.bed.Client().RbacV1()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{Verbs: []string{verb}, NonResourceURLs: paths}}}
	if _, err := rbac.ClusterRoles().Create(w.ctx(), role, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{who},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}
	if _, err := rbac.ClusterRoleBindings().Create(w.ctx(), binding, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.mayNow(who, verb, strings.ReplaceAll(paths[0], "*", "anything"))
	w.t.Cleanup(func() {
		_ = rbac.ClusterRoles().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = rbac.ClusterRoleBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
}

// mayNow waits until the API server grants somebody what a new binding says: it reads bindings
// from a cache, and the console remembers for a while what it was told.
func (w *world) mayNow(who rbacv1.Subject, verb, path string) {
	w.t.Helper()
	user := who.Name
	if who.Kind == rbacv1.ServiceAccountKind {
		user = "system:serviceaccount:" + who.Namespace + ":" + who.Name
	}
	w.bed.Allowed(w.t, user, nil, authorizationv1.SubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: path},
	})
}

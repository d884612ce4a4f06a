package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// consoleClient asks a console as a user of the cluster would: it finds the leader's in the
// head of the journal.
type consoleClient struct {
	t    testing.TB
	base string
	http *http.Client
	auth string // of the header; "" where a certificate says who it is
}

// head waits for the journal's head that a leader other than former wrote.
func (w *world) head(former string) v1alpha1.JournalSpec {
	w.t.Helper()
	var head v1alpha1.Journal
	testbed.Eventually(w.t, "the journal's head says where the console is", func() (bool, string) {
		err := w.api.Get(w.ctx(), types.NamespacedName{Namespace: w.ns, Name: v1alpha1.JournalHeadName(w.ns)}, &head)
		return err == nil && head.Spec.Console != nil && head.Spec.Leader != former, fmt.Sprint(err)
	})
	return head.Spec
}

// console is the leader's, when it knows what there is, for whoever cfg is.
func (w *world) console(cfg *rest.Config) *consoleClient {
	w.t.Helper()
	where := *w.head("").Console
	admin := consoleAt(w.t, where, w.bed.Config())
	testbed.Eventually(w.t, "the leader has adopted", func() (bool, string) {
		code, text := admin.do(http.MethodGet, api.PathNodes, nil)
		return code == http.StatusOK, string(text)
	})
	return consoleAt(w.t, where, cfg)
}

func consoleAt(t testing.TB, where v1alpha1.JournalConsole, cfg *rest.Config) *consoleClient {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(where.CABundle)) {
		t.Fatal("the journal's head has no CA")
	}
	trust := &tls.Config{RootCAs: roots, ServerName: where.ServerName}
	c := &consoleClient{t: t, base: "https://" + where.Address}
	if len(cfg.CertData) > 0 {
		pair, err := tls.X509KeyPair(cfg.CertData, cfg.KeyData)
		if err != nil {
			t.Fatal(err)
		}
		trust.Certificates = []tls.Certificate{pair}
	}
	if cfg.BearerToken != "" {
		c.auth = "Bearer " + cfg.BearerToken
	}
	transport := &http.Transport{TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport}
	return c
}

// do sends a request and returns the status and the body.
func (c *consoleClient) do(method, path string, body any, header ...string) (int, []byte) {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.auth != "" {
		r.Header.Set("Authorization", c.auth)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, text
}

// get reads an answer that must come.
func (c *consoleClient) get(path string, into any) {
	c.t.Helper()
	if code, text := c.do(http.MethodGet, path, nil); code != http.StatusOK || json.Unmarshal(text, into) != nil {
		c.t.Fatalf("GET %s: %d %s", path, code, text)
	}
}

func (c *consoleClient) post(path string, request, into any) {
	c.t.Helper()
	if code, text := c.do(http.MethodPost, path, request); code != http.StatusOK || json.Unmarshal(text, into) != nil {
		c.t.Fatalf("POST %s: %d %s", path, code, text)
	}
}

// refused is the error that an answer must be.
func (c *consoleClient) refused(method, path string, body any, code int) api.Error {
	c.t.Helper()
	var e api.Error
	got, text := c.do(method, path, body)
	if err := json.Unmarshal(text, &e); err != nil || got != code || e.Code != code || e.Message == "" {
		c.t.Fatalf("%s %s: %d %s, want an error %d", method, path, got, text, code)
	}
	return e
}

// ticks streams PathWatch until the test ends.
func (c *consoleClient) ticks() <-chan api.Tick {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+api.PathWatch, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		c.t.Fatalf("watch: %s", answer.Status)
	}
	ticks := make(chan api.Tick, 64)
	go func() {
		defer close(ticks)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var t api.Tick
				if json.Unmarshal([]byte(data), &t) == nil {
					ticks <- t
				}
			}
		}
	}()
	return ticks
}

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
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: path},
	}}
	testbed.Eventually(w.t, user+" may "+verb+" "+path, func() (bool, string) {
		answer, err := w.bed.Client().AuthorizationV1().SubjectAccessReviews().Create(w.ctx(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, fmt.Sprint(answer, err)
	})
}

// startStandby starts a controller beside the one that leads, with a console whose
// certificate is in files, since no head of a journal says where it is.
func (w *world) startStandby() *consoleClient {
	w.t.Helper()
	dir, port := w.t.TempDir(), testbed.HoldPort(w.t)
	pair := selfSigned(w.t, dir)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	w.start("--console-address="+address, "--console-cert-dir="+dir)
	c := consoleAt(w.t, v1alpha1.JournalConsole{Address: address, ServerName: "console.example", CABundle: pair}, w.bed.Config())
	testbed.Eventually(w.t, "the standby has seen who leads", func() (bool, string) {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, c.base+api.PathOverview, nil)
		if err != nil {
			return false, err.Error()
		}
		answer, err := c.http.Do(r)
		if err != nil {
			return false, err.Error()
		}
		defer answer.Body.Close()
		var e api.Error
		err = json.NewDecoder(answer.Body).Decode(&e)
		return err == nil && e.Leader != "", fmt.Sprint(answer.Status, e, err)
	})
	return c
}

// selfSigned writes a certificate as somebody would mount it, and returns its PEM.
func selfSigned(t testing.TB, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"console.example"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"tls.crt": crt, "ca.crt": crt, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(crt)
}

// journaled waits until all that was changed so far stands in the stored journal.
func (w *world) journaled() {
	w.t.Helper()
	c := w.console(w.bed.Config())
	testbed.Eventually(w.t, "the journal is stored", func() (bool, string) {
		var o api.Overview
		c.get(api.PathOverview, &o)
		return o.Journal.Entries > 0 && o.Journal.Unwritten == 0, fmt.Sprintf("%+v", o.Journal)
	})
}

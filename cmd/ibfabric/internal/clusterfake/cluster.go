// Package clusterfake is a cluster with one fabric, as the command ibfabric meets it: an
// API server with journals and port-forwards, and consoles behind it. Both speak TLS over
// real sockets, check credentials, and answer with the types of the real ones.
package clusterfake

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ibfabric/ibfabric/controller/api/v1alpha1"
)

// Token is what the user of the kubeconfig is known by, to the API server and the consoles.
const Token = "the-token-of-the-user"

// Cluster is the API server.
type Cluster struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex // protects what follows
	journals map[string]*v1alpha1.Journal
	pods     map[string]string // what a port-forward to namespace/pod reaches
	forbid   map[string]bool   // what the user may not: "list", "list-all", "portforward"
	looked   func()            // is called behind the first look at a journal
}

// New starts a cluster without a fabric.
func New(t testing.TB) *Cluster {
	c := &Cluster{t: t, journals: map[string]*v1alpha1.Journal{}, pods: map[string]string{}, forbid: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, _ *http.Request) { write(w, metav1.APIVersions{Versions: []string{"v1"}}) })
	mux.HandleFunc("GET /apis", func(w http.ResponseWriter, _ *http.Request) {
		write(w, metav1.APIGroupList{Groups: []metav1.APIGroup{group()}})
	})
	mux.HandleFunc("GET /apis/ibfabric.io", func(w http.ResponseWriter, _ *http.Request) { write(w, group()) })
	mux.HandleFunc("GET /apis/ibfabric.io/v1alpha1", func(w http.ResponseWriter, _ *http.Request) {
		write(w, metav1.APIResourceList{GroupVersion: "ibfabric.io/v1alpha1", APIResources: []metav1.APIResource{
			{Name: "journals", SingularName: "journal", Namespaced: true, Kind: "Journal", Verbs: metav1.Verbs{"get", "list"}},
		}})
	})
	mux.HandleFunc("GET /apis/ibfabric.io/v1alpha1/journals", c.list)
	mux.HandleFunc("GET /apis/ibfabric.io/v1alpha1/namespaces/{namespace}/journals", c.list)
	mux.HandleFunc("GET /apis/ibfabric.io/v1alpha1/namespaces/{namespace}/journals/{name}", c.get)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", c.portForward)
	c.server = httptest.NewTLSServer(known(mux))
	t.Cleanup(c.server.Close)
	return c
}

func group() metav1.APIGroup {
	v := metav1.GroupVersionForDiscovery{GroupVersion: "ibfabric.io/v1alpha1", Version: "v1alpha1"}
	return metav1.APIGroup{Name: "ibfabric.io", Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v}
}

func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+Token {
			status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Kubeconfig is a file with the user's token, whose context is in the namespace team-a.
func (c *Cluster) Kubeconfig() string {
	c.t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["fake"] = &clientcmdapi.Cluster{Server: c.server.URL, CertificateAuthorityData: pemOf(c.server.Certificate())}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{Token: Token}
	config.Contexts["fake"] = &clientcmdapi.Context{Cluster: "fake", AuthInfo: "user", Namespace: "team-a"}
	config.CurrentContext = "fake"
	file := filepath.Join(c.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Lead has the head of the fabric's journal, in kube-system, say that a pod leads whose
// console is con.
func (c *Cluster) Lead(fabric, pod string, con *Console) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods["kube-system/"+pod] = con.Address()
	c.journals["kube-system/"+fabric] = &v1alpha1.Journal{
		TypeMeta:   metav1.TypeMeta{APIVersion: "ibfabric.io/v1alpha1", Kind: "Journal"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: v1alpha1.JournalHeadName(fabric), Labels: map[string]string{v1alpha1.LabelJournal: v1alpha1.JournalHead}},
		Spec: v1alpha1.JournalSpec{Leader: pod + "_1", Console: &v1alpha1.JournalConsole{
			Namespace: "kube-system", Pod: pod, Address: "10.0.0.1:8443", Port: 8443, ServerName: "example.com", CABundle: string(con.CA()),
		}},
	}
}

// Edit changes the head of a fabric's journal.
func (c *Cluster) Edit(fabric string, edit func(*v1alpha1.Journal)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(c.journals["kube-system/"+fabric])
}

// OnFirstLook has something happen behind the first look at a journal.
func (c *Cluster) OnFirstLook(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = do
}

// seen runs what was to happen; the caller holds no lock.
func (c *Cluster) seen() {
	c.mu.Lock()
	do := c.looked
	c.looked = nil
	c.mu.Unlock()
	if do != nil {
		do()
	}
}

// Gone takes a pod away.
func (c *Cluster) Gone(pod string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, "kube-system/"+pod)
}

// Forbid takes a right from the user: "list" is journals in a namespace, "list-all" those
// of all, "portforward" the way to pods.
func (c *Cluster) Forbid(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forbid[what] = true
}

func (c *Cluster) list(w http.ResponseWriter, r *http.Request) {
	defer c.seen() // behind the lock
	c.mu.Lock()
	defer c.mu.Unlock()
	namespace := r.PathValue("namespace")
	if namespace == "" && c.forbid["list-all"] || namespace != "" && c.forbid["list"] {
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, "journals.ibfabric.io is forbidden")
		return
	}
	l := v1alpha1.JournalList{TypeMeta: metav1.TypeMeta{APIVersion: "ibfabric.io/v1alpha1", Kind: "JournalList"}}
	for _, j := range c.journals {
		if namespace == "" || j.Namespace == namespace {
			l.Items = append(l.Items, *j)
		}
	}
	write(w, l)
}

func (c *Cluster) get(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.journals[r.PathValue("namespace")+"/"+strings.TrimSuffix(r.PathValue("name"), ".head")]
	if j == nil {
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound, "journals.ibfabric.io not found")
		return
	}
	write(w, j)
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{ // a client that hung up needs none
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that hung up needs none
}

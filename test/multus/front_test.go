package multus

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// front stands before the API server and writes down what is written through it.
type front struct {
	kubeconfig string

	mu     sync.Mutex // protects writes
	writes []string
}

func (w *world) front() *front {
	w.t.Helper()
	cfg := w.rig.Bed.Config()
	through, err := rest.TransportFor(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	to, err := url.Parse(cfg.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: through}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f.note(r)
		proxy.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.CloseClientConnections)
	kube := clientcmdapi.NewConfig()
	kube.Clusters["front"] = &clientcmdapi.Cluster{Server: server.URL}
	kube.Contexts["front"] = &clientcmdapi.Context{Cluster: "front"}
	kube.CurrentContext = "front"
	f.kubeconfig = filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*kube, f.kubeconfig); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// note remembers what changes anything; the lease is renewed all the time.
func (f *front) note(r *http.Request) {
	// The lease, and where a leader's console is, are every controller's. A review is a question.
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/leases") || strings.Contains(r.URL.Path, "/journals") || strings.HasSuffix(r.URL.Path, "/subjectaccessreviews") {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes = append(f.writes, r.Method+" "+r.URL.Path)
}

// of are the writes whose path has a part.
func (f *front) of(part string) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.writes {
		if strings.Contains(line, part) {
			all = append(all, line)
		}
	}
	return all
}

package control

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// front stands before a server, sees every request, and may answer in its place.
type front struct {
	*httptest.Server
	next http.Handler

	mu   sync.Mutex // protects what follows
	step func(http.ResponseWriter, *http.Request) (answered bool)
	seen []*http.Request
	life context.Context // of the requests under way
	end  context.CancelFunc
}

func newFront(t testing.TB, next http.Handler) *front {
	t.Helper()
	f := &front{next: next}
	f.life, f.end = context.WithCancel(context.Background())
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	step, life := f.step, f.life
	f.mu.Unlock()
	if step != nil && step(rw, r) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	f.next.ServeHTTP(rw, r.WithContext(ctx))
}

// stepIn lets step see each request from now on; nil lets all pass.
func (f *front) stepIn(step func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.step = step
}

// cut breaks what is under way: watches, above all.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
	f.life, f.end = context.WithCancel(context.Background())
}

// requests are those so far that match.
func (f *front) requests(match func(*http.Request) bool) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*http.Request
	for _, r := range f.seen {
		if match == nil || match(r) {
			list = append(list, r)
		}
	}
	return list
}

// ufmFront puts a front before the world's UFM; env is for startWith. It speaks plain
// HTTP: what it changes are answers, not certificates.
func (w *world) ufmFront() (f *front, env []string) {
	w.t.Helper()
	f = newFront(w.t, w.sim)
	host, port, _ := strings.Cut(f.Listener.Addr().String(), ":")
	return f, []string{"UFM_HTTP_SCHEMA=http", "UFM_ADDRESS=" + host, "UFM_PORT=" + port}
}

// apiFront puts a front before the API server.
func (w *world) apiFront() (f *front, env []string) {
	w.t.Helper()
	cfg := w.bed.Config()
	through, err := rest.TransportFor(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	to, err := url.Parse(cfg.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	f = newFront(w.t, &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:    through,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	kube := clientcmdapi.NewConfig()
	kube.Clusters["front"] = &clientcmdapi.Cluster{Server: f.URL}
	kube.Contexts["front"] = &clientcmdapi.Context{Cluster: "front"}
	kube.CurrentContext = "front"
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*kube, file); err != nil {
		w.t.Fatal(err)
	}
	return f, []string{"KUBECONFIG=" + file}
}

// isPodPatch reports whether a request is how the controller lets a pod go on.
func isPodPatch(r *http.Request) bool {
	return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/pods/")
}

// spoil changes the text of answers.
func spoil(next http.Handler, from, to string) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		got := httptest.NewRecorder()
		next.ServeHTTP(got, r)
		rw.WriteHeader(got.Code)
		_, _ = io.Copy(rw, bytes.NewReader(bytes.ReplaceAll(got.Body.Bytes(), []byte(from), []byte(to))))
		return true
	}
}

// failing answers the first n requests that match with a status, and counts them.
func failing(n int64, status int, match func(*http.Request) bool) (step func(http.ResponseWriter, *http.Request) bool, failed *atomic.Int64) {
	failed = &atomic.Int64{}
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !match(r) || failed.Load() >= n {
			return false
		}
		failed.Add(1)
		http.Error(rw, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"injected","code":`+strconv.Itoa(status)+`}`, status)
		return true
	}, failed
}

// readAll is the body of a request, which can be read again.
func readAll(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return string(body)
}

// hanging leaves requests that match without an answer, until their client goes.
func hanging(match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		readAll(r) // only then does the server notice that the client went
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

package ufm

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "pa55-word"

// fakeUFM keeps partitions as UFM does, and lets a test step in before it.
type fakeUFM struct {
	*httptest.Server
	mu       sync.Mutex
	members  map[string]map[string]string // pkey, guid, membership
	requests []string
	headers  []http.Header
	bodies   []string
	before   http.HandlerFunc // when set, answers instead
}

func newFake(t *testing.T, before http.HandlerFunc) *fakeUFM {
	t.Helper()
	f := unstartedFake(before)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func unstartedFake(before http.HandlerFunc) *fakeUFM {
	f := &fakeUFM{members: map[string]map[string]string{}, before: before}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	return f
}

func (f *fakeUFM) address() string { return f.Listener.Addr().String() }

func (f *fakeUFM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
	f.headers = append(f.headers, r.Header.Clone())
	f.bodies = append(f.bodies, string(body))
	f.mu.Unlock()
	if f.before != nil {
		f.before(w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	parts := strings.Split(path, "/")
	var ask struct {
		PKey, Membership string
		GUIDs            []string
	}
	_ = json.Unmarshal(body, &ask)
	switch {
	case path == "app/ufm_version":
		fmt.Fprint(w, `{"ufm_release_version":"6.18.0-5","plugins":{}}`)
	case r.Method == http.MethodPost && path == "resources/pkeys":
		if f.members[ask.PKey] == nil {
			f.members[ask.PKey] = map[string]string{}
		}
		for _, g := range ask.GUIDs {
			f.members[ask.PKey][g] = ask.Membership
		}
		fmt.Fprint(w, `{}`)
	case r.Method == http.MethodPost && path == "actions/remove_guids_from_pkey":
		f.remove(ask.PKey, ask.GUIDs)
	case r.Method == http.MethodDelete && len(parts) == 5:
		f.remove(parts[2], strings.Split(parts[4], ","))
	case r.Method == http.MethodGet && path == "resources/pkeys":
		all := map[string]any{"0x7fff": map[string]any{"guids": []any{}, "partition": "management"}}
		for p := range f.members {
			all[p] = f.show(p)
		}
		_ = json.NewEncoder(w).Encode(all)
	case r.Method == http.MethodGet && len(parts) == 3:
		_ = json.NewEncoder(w).Encode(f.show(parts[2]))
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeUFM) remove(p string, guids []string) {
	for _, g := range guids {
		delete(f.members[p], g)
	}
	if len(f.members[p]) == 0 {
		delete(f.members, p)
	}
}

func (f *fakeUFM) show(p string) any {
	if f.members[p] == nil {
		return struct{}{}
	}
	list := []any{}
	for g, m := range f.members[p] {
		list = append(list, map[string]any{"guid": g, "membership": m, "index0": true})
	}
	return map[string]any{"guids": list, "partition": "api_pkey_" + p, "ip_over_ib": true}
}

func (f *fakeUFM) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

func (f *fakeUFM) header(i int, name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.headers[i].Get(name)
}

func basicCredentials() Credentials {
	return Credentials{Username: "admin", Password: NewSecret(password)}
}

// config is for plain HTTP at the addresses, with quick retries.
func config(addresses ...string) Config {
	return Config{
		Addresses: addresses, Scheme: "http", Credentials: Static(basicCredentials()),
		RetryWait: time.Millisecond,
	}
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func logs() (*zap.Logger, *observer.ObservedLogs) {
	core, seen := observer.New(zapcore.DebugLevel)
	return zap.New(core), seen
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(nil)
	s.Close()
	return s.Listener.Addr().String()
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

const (
	tenant = pkey.PKey(0x1000)
	g1     = guid.GUID(0x0200000000000001)
	g2     = guid.GUID(0x02000000000000ab)
)

func batch(guids ...guid.GUID) pkey.Batch {
	return pkey.Batch{Mode: pkey.Mode{Index0: true}, IPoIB: true, GUIDs: guids}
}

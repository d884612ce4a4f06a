package ufmsim

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSim(t testing.TB, cfg Config) *Sim {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func quirks(t testing.TB, set ...string) Quirks {
	t.Helper()
	var q Quirks
	for _, s := range set {
		name, value, _ := strings.Cut(s, "=")
		if err := q.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

const adminBasic = "Basic YWRtaW46MTIzNDU2"

// send makes one call as admin, without a network, under /ufmRest unless path says else.
func send(s *Sim, method, path, body string) (status int, answer string, err error) {
	return sendOver(s.Transport(), "http://ufm", method, path, body)
}

func sendOver(rt http.RoundTripper, base, method, path, body string) (status int, answer string, err error) {
	if !strings.HasPrefix(path, "/ufm") {
		path = "/ufmRest" + path
	}
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", adminBasic)
	res, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(got)), err
}

func mustSend(t testing.TB, s *Sim, method, path, body string) string {
	t.Helper()
	status, answer, err := send(s, method, path, body)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s %s: %d %s %v", method, path, body, status, answer, err)
	}
	return answer
}

// g is the n-th GUID of the tests, h how UFM writes it.
func g(n int) guid.GUID { return guid.GUID(0x0200_0000_0000_0000 + uint64(n)) }
func h(n int) string    { return g(n).Hex() }

func guidsJSON(ns ...int) string {
	var quoted []string
	for _, n := range ns {
		quoted = append(quoted, fmt.Sprintf("%q", h(n)))
	}
	return strings.Join(quoted, ",")
}

func addBody(p pkey.PKey, ns ...int) string {
	return fmt.Sprintf(`{"pkey":%q,"guids":[%s]}`, p, guidsJSON(ns...))
}

func member(n int, m pkey.Membership, index0 bool) pkey.Member {
	return pkey.Member{GUID: g(n), Mode: pkey.Mode{Membership: m, Index0: index0}}
}

func basicOf(text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func newRequest(ctx context.Context, t testing.TB, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ufm/ufmRest/resources/pkeys", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", adminBasic)
	return req
}

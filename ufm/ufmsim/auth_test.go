package ufmsim

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestEveryLoginWorksUnderItsPrefixOnly(t *testing.T) {
	s := newSim(t, Config{Username: "joe", Password: "s3cret", Token: "tok"})
	cookie := logIn(t, s, "joe", "s3cret")
	prefixes := []string{prefixBasic, prefixSession, prefixToken}
	for name, row := range map[string]struct {
		header, value, prefix string
	}{
		"basic":               {"Authorization", basicOf("joe:s3cret"), prefixBasic},
		"wrong password":      {"Authorization", basicOf("joe:s3cre"), ""},
		"wrong user":          {"Authorization", basicOf("jo:es3cret"), ""},
		"token":               {"Authorization", "Basic tok", prefixToken},
		"token as a password": {"Authorization", basicOf("token:tok"), ""},
		"bearer":              {"Authorization", "Bearer tok", ""},
		"empty token":         {"Authorization", "Basic ", ""},
		"cookie":              {"Cookie", cookie, prefixSession},
		"old cookie":          {"Cookie", "session=x", ""},
		"nothing":             {"X-Remote-User", "joe", ""},
	} {
		for _, prefix := range prefixes {
			for _, all := range []bool{false, true} {
				if err := s.SetQuirks(Quirks{AnyAuthPrefix: all}); err != nil {
					t.Fatal(err)
				}
				want := http.StatusUnauthorized
				if prefix == row.prefix || all && row.prefix != "" {
					want = http.StatusOK
				}
				req, _ := http.NewRequest(http.MethodGet, "http://ufm"+prefix+"/app/smconf", nil)
				req.Header.Set(row.header, row.value)
				if res := roundTrip(t, s.Transport(), req); res.StatusCode != want {
					t.Errorf("%s under %s (any prefix: %v): %d, want %d", name, prefix, all, res.StatusCode, want)
				}
			}
		}
	}
}

func logIn(t *testing.T, s *Sim, user, password string) string {
	t.Helper()
	form := url.Values{"httpd_username": {user}, "httpd_password": {password}}
	req, _ := http.NewRequest(http.MethodPost, "http://ufm/dologin", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res := roundTrip(t, s.Transport(), req)
	if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
		t.Fatalf("login: %d, %v", res.StatusCode, res.Cookies())
	}
	return res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
}

func roundTrip(t *testing.T, rt http.RoundTripper, req *http.Request) *http.Response {
	t.Helper()
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func TestLoginRefusesAWrongPassword(t *testing.T) {
	s := newSim(t, Config{})
	req, _ := http.NewRequest(http.MethodPost, "http://ufm/dologin", strings.NewReader("httpd_username=admin&httpd_password=x"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if res := roundTrip(t, s.Transport(), req); res.StatusCode != http.StatusUnauthorized || len(res.Cookies()) != 0 {
		t.Errorf("%d, %v", res.StatusCode, res.Cookies())
	}
}

func TestAMadeTokenWorksAndIsListed(t *testing.T) {
	s := newSim(t, Config{})
	var made token
	if err := json.Unmarshal([]byte(mustSend(t, s, "POST", "/app/tokens", "")), &made); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodGet, "http://ufm/ufmRestV3/app/tokens", nil)
	req.Header.Set("Authorization", "Basic "+made.AccessToken)
	if res := roundTrip(t, s.Transport(), req); res.StatusCode != http.StatusOK {
		t.Errorf("the token is refused: %d", res.StatusCode)
	}
	if list := mustSend(t, s, "GET", "/app/tokens", ""); !strings.Contains(list, made.AccessToken) {
		t.Errorf("the list is %s", list)
	}
}

func TestAClientCertificateCountsUnderUFMRestIfItVerifies(t *testing.T) {
	trusted, other := clientCertificate(t), clientCertificate(t)
	cas := x509.NewCertPool()
	cas.AddCert(trusted.Leaf)
	s := newSim(t, Config{ClientCAs: cas})
	srv, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	for name, row := range map[string]struct {
		certs []tls.Certificate
		path  string
		want  string
	}{
		"trusted":      {[]tls.Certificate{trusted}, "/ufmRest/app/smconf", "200"},
		"other prefix": {[]tls.Certificate{trusted}, "/ufmRestV3/app/smconf", "401"},
		"none":         {nil, "/ufmRest/app/smconf", "401"},
		"of nobody":    {[]tls.Certificate{other}, "/ufmRest/app/smconf", "failed"},
	} {
		tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting(t, srv.CertPEM())}
		// Sent although the server names another CA: by default Go would keep it back.
		tr.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if row.certs == nil {
				return &tls.Certificate{}, nil
			}
			return &row.certs[0], nil
		}
		req, _ := http.NewRequest(http.MethodGet, srv.URL()+row.path, nil)
		got := "failed"
		if res, err := tr.RoundTrip(req); err == nil {
			got = fmt.Sprint(res.StatusCode)
			_ = res.Body.Close()
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

func clientCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	certPEM, keyPEM, err := SelfSigned([]string{"controller"}, false)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func trusting(t *testing.T, certPEM []byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certPEM) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

func TestControlIsOffUnlessAskedForAndGuarded(t *testing.T) {
	for name, row := range map[string]struct {
		cfg   Config
		value string
		want  int
	}{
		"off":         {Config{}, "", http.StatusNotFound},
		"open":        {Config{Control: true}, "", http.StatusOK},
		"no token":    {Config{Control: true, ControlToken: "ct"}, "", http.StatusUnauthorized},
		"wrong token": {Config{Control: true, ControlToken: "ct"}, "Bearer c", http.StatusUnauthorized},
		"token":       {Config{Control: true, ControlToken: "ct"}, "Bearer ct", http.StatusOK},
	} {
		req, _ := http.NewRequest(http.MethodGet, "http://ufm/ufm-sim/state", nil)
		req.Header.Set("Authorization", row.value)
		if res := roundTrip(t, newSim(t, row.cfg).Transport(), req); res.StatusCode != row.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, row.want)
		}
	}
}

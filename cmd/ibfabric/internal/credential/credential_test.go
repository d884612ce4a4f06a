package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// quick makes a certificate with a key that takes no time.
func quick(t *testing.T, hosts ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err = sign(k, hosts, time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// TestACertificateServesAndIsTrusted serves with it, and asks by name and by address.
func TestACertificateServesAndIsTrusted(t *testing.T) {
	cert, key, err := Certificate([]string{"127.0.0.1", "ufm.example.com", "::1"}, time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for _, name := range []string{"", "127.0.0.1", "ufm.example.com", "::1"} {
		if err := dial(s, roots, name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := dial(s, roots, "other.example.com"); err == nil {
		t.Error("it serves for a name that is not in it")
	}
	parsed, err := Trust(cert)
	if err != nil || parsed[0].IsCA || parsed[0].Subject.CommonName != "127.0.0.1" {
		t.Errorf("%v %+v", err, parsed)
	}
}

func dial(s *httptest.Server, roots *x509.CertPool, name string) error {
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestHostsThatAreNone(t *testing.T) {
	for _, host := range []string{"", "https://ufm", "ufm:443", "a b", "$(reboot)", "ufm,ufm2"} {
		if _, err := newTemplate([]string{host}, time.Now(), time.Hour); err == nil {
			t.Errorf("%q is taken", host)
		}
	}
}

func TestSecret(t *testing.T) {
	cert, key := quick(t, "ufm.example.com")
	_, otherKey := quick(t, "ufm.example.com")
	const pass = "Pass_word1"
	at := []string{"ufm.example.com"}
	for name, test := range map[string]struct {
		ufm  UFM
		keys string // of the Secret, or "" for an error
		says string // in the warnings or the error
	}{
		"password":         {UFM{Addresses: at, Username: "admin", Password: pass, Trust: cert}, "UFM_ADDRESS UFM_CERTIFICATE UFM_PASSWORD UFM_USERNAME", ""},
		"token":            {UFM{Addresses: at, Token: "t", Trust: cert}, "UFM_ADDRESS UFM_CERTIFICATE UFM_TOKEN", ""},
		"certificate":      {UFM{Addresses: at, ClientCert: cert, ClientKey: key, Trust: cert}, "UFM_ADDRESS UFM_CERTIFICATE UFM_CLIENT_CERTIFICATE UFM_CLIENT_KEY", ""},
		"no trust":         {UFM{Addresses: at, Token: "t"}, "UFM_ADDRESS UFM_TOKEN", "no --certificate"},
		"another host":     {UFM{Addresses: []string{"10.0.0.1"}, Token: "t", Trust: cert}, "UFM_ADDRESS UFM_CERTIFICATE UFM_TOKEN", "-addext 'subjectAltName=IP:10.0.0.1'"},
		"odd password":     {UFM{Addresses: at, Username: "admin", Password: "sp ce!", Trust: cert}, "UFM_ADDRESS UFM_CERTIFICATE UFM_PASSWORD UFM_USERNAME", "4 to 30 letters"},
		"no address":       {UFM{Token: "t"}, "", "--ufm-address"},
		"nothing":          {UFM{Addresses: at}, "", "nothing to prove"},
		"two":              {UFM{Addresses: at, Username: "a", Password: pass, Token: "t"}, "", "give one of"},
		"no user":          {UFM{Addresses: at, Password: pass}, "", "--username"},
		"another key":      {UFM{Addresses: at, ClientCert: cert, ClientKey: otherKey}, "", "private key does not match"},
		"a key for trust":  {UFM{Addresses: at, Token: "t", Trust: key}, "", "private key"},
		"no PEM for trust": {UFM{Addresses: at, Token: "t", Trust: []byte("x")}, "", "no PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			s, warnings, err := test.ufm.Secret("kube-system", "ibfabric-ufm")
			said := strings.Join(warnings, "; ")
			if err != nil {
				said = err.Error()
			}
			if (err != nil) != (test.keys == "") || !strings.Contains(said, test.says) || test.says == "" && said != "" {
				t.Fatalf("%v; warnings %q", err, warnings)
			}
			if strings.Contains(said, pass) || strings.Contains(said, "sp ce!") {
				t.Errorf("the password is in %q", said)
			}
			if s == nil {
				return
			}
			var keys []string
			for _, k := range []string{keyAddress, keyTrust, keyClientCert, keyClientKey, keyPassword, keyToken, keyUsername} {
				if len(s.Data[k]) > 0 {
					keys = append(keys, k)
				}
			}
			if got := strings.Join(keys, " "); got != test.keys || len(keys) != len(s.Data) {
				t.Errorf("keys %q, want %q", got, test.keys)
			}
		})
	}
}

// TestTheGuidesCertificateIsTakenWithAWarning has a common name alone.
func TestTheGuidesCertificateIsTakenWithAWarning(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template, err := newTemplate([]string{"ufm"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	template.DNSNames, template.IsCA = nil, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := UFM{Addresses: []string{"ufm"}, Token: "t", Trust: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}.Secret("a", "b")
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "openssl req -x509") || !strings.Contains(warnings[0], "subjectAltName=DNS:ufm") {
		t.Errorf("%v %q", err, warnings)
	}
}

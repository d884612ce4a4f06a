package ufm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a certificate and its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that by signs, or that signs itself.
func issue(t *testing.T, by *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: by == nil, // as openssl req -x509 does
	}
	change(cert)
	parent, signer := cert, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key}
}

func (i *identity) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

func (i *identity) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (i *identity) serve(t *testing.T, change func(*tls.Config)) *fakeUFM {
	t.Helper()
	f := unstartedFake(nil)
	f.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}}}
	change(f.TLS)
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func asIs[T any](*T) {}

func withIP(ip string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(ip)} }
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 2, 3, 0, 0, 0, 0, time.UTC)
}

func TestWhichServersAreTakenForUFM(t *testing.T) {
	ca := issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "site CA" })
	signed := issue(t, ca, withIP("127.0.0.1"))
	cnOnly := issue(t, nil, asIs[x509.Certificate])
	sameName := issue(t, nil, asIs[x509.Certificate])
	oldPinned := issue(t, nil, expired)
	oldSigned := issue(t, ca, func(c *x509.Certificate) { withIP("127.0.0.1")(c); expired(c) })
	notYet := issue(t, nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })
	wrongHost := issue(t, ca, withIP("192.0.2.7"))
	selfNamed := issue(t, nil, withIP("127.0.0.1"))
	selfWrongHost := issue(t, nil, withIP("192.0.2.7"))
	underPin := issue(t, cnOnly, func(*x509.Certificate) {})

	const openssl = "-addext 'subjectAltName=IP:127.0.0.1'"
	for name, tc := range map[string]struct {
		server *identity
		bundle string
		skip   bool
		refuse string // what the error says; "" when the server is taken
	}{
		"signed by the CA, right host":                 {server: signed, bundle: ca.pem()},
		"signed by a CA next to others":                {server: signed, bundle: cnOnly.pem() + ca.pem() + selfNamed.pem()},
		"self-signed with its name":                    {server: selfNamed, bundle: selfNamed.pem()},
		"common name only, pinned":                     {server: cnOnly, bundle: cnOnly.pem()},
		"common name only, pinned among others":        {server: cnOnly, bundle: ca.pem() + cnOnly.pem()},
		"common name only, not pinned":                 {server: cnOnly, refuse: openssl},
		"common name only, other CA":                   {server: cnOnly, bundle: signed.pem(), refuse: openssl},
		"another with the same common name":            {server: sameName, bundle: cnOnly.pem(), refuse: "which holds another one"},
		"pinned but expired":                           {server: oldPinned, bundle: oldPinned.pem(), refuse: "expired on 2021-02-03"},
		"pinned but not yet valid":                     {server: notYet, bundle: notYet.pem(), refuse: "not valid before"},
		"signed but expired":                           {server: oldSigned, bundle: ca.pem(), refuse: "expired on 2021-02-03"},
		"signed for another host":                      {server: wrongHost, bundle: ca.pem(), refuse: "is for 192.0.2.7 and not for 127.0.0.1"},
		"signed for another host, standard path":       {server: selfWrongHost, bundle: selfWrongHost.pem(), refuse: "is for 192.0.2.7 and not for 127.0.0.1"},
		"signed by an unknown CA":                      {server: signed, bundle: selfNamed.pem(), refuse: "neither in UFM_CERTIFICATE nor signed"},
		"signed by an unknown CA, with a pin":          {server: signed, bundle: cnOnly.pem(), refuse: "neither in UFM_CERTIFICATE nor signed"},
		"signed by an unknown CA, nothing given":       {server: signed, refuse: "into UFM_CERTIFICATE"},
		"signed by the pinned one, for no host":        {server: underPin, bundle: cnOnly.pem(), refuse: openssl},
		"common name only, verification switched off":  {server: cnOnly, skip: true},
		"signed for another host, verification is off": {server: wrongHost, bundle: ca.pem(), skip: true},
	} {
		t.Run(name, func(t *testing.T) {
			log, seen := logs()
			f := tc.server.serve(t, asIs[tls.Config])
			cfg := config(f.address())
			creds := basicCredentials()
			creds.Certificate = tc.bundle
			cfg.Scheme, cfg.Credentials, cfg.SkipVerify, cfg.Log = "https", Static(creds), tc.skip, log
			c := newClient(t, cfg)
			_, err := c.Add(t.Context(), tenant, batch(g1))
			if n := seen.FilterMessageSnippet("not verified").Len(); (n == 1) != tc.skip {
				t.Errorf("%d warnings", n)
			}
			if tc.refuse == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != Certificate || e.OutcomeUnknown() || !strings.Contains(err.Error(), tc.refuse) {
				t.Errorf("want %q, got %v", tc.refuse, err)
			}
			if asked := f.asked(); len(asked) != 0 {
				t.Errorf("the server was asked %v", asked)
			}
		})
	}
}

func TestClientCertificateIsShown(t *testing.T) {
	server := issue(t, nil, withIP("127.0.0.1"))
	us := issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "ibfabric" })
	pool := x509.NewCertPool()
	pool.AddCert(us.cert)
	f := server.serve(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool })
	key := filepath.Join(t.TempDir(), "client.key")
	if err := os.WriteFile(key, []byte(us.keyPEM(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	creds := basicCredentials() // gives way to the certificate
	creds.Certificate, creds.ClientCertificate, creds.ClientKey = server.pem(), us.pem(), NewSecret(key)
	cfg := config(f.address())
	cfg.Scheme, cfg.Credentials = "https", Static(creds)
	if _, err := newClient(t, cfg).Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.asked()[0] != "GET /ufmRest/app/ufm_version" || f.header(0, "Authorization") != "" {
		t.Errorf("%s, authorization %q", f.asked()[0], f.header(0, "Authorization"))
	}

	creds.ClientCertificate, creds.ClientKey = "", Secret{}
	cfg.Credentials = Static(creds)
	_, err := newClient(t, cfg).Version(t.Context())
	if !isKind(err, Certificate) || !strings.Contains(err.Error(), "UFM_CLIENT_CERTIFICATE") {
		t.Errorf("without a certificate: %v", err)
	}

	creds.ClientCertificate, creds.ClientKey = us.pem(), NewSecret(server.keyPEM(t))
	cfg.Credentials = Static(creds)
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "UFM_CLIENT_KEY") {
		t.Errorf("with the key of another: %v", err)
	}
}

func TestRotatedCAIsTrusted(t *testing.T) {
	before, after := issue(t, nil, asIs[x509.Certificate]), issue(t, nil, asIs[x509.Certificate])
	f := after.serve(t, asIs[tls.Config])
	m := mount{path: t.TempDir()}
	m.write(t, map[string]string{"UFM_TOKEN": "t", "UFM_CERTIFICATE": before.pem()})
	cfg := config(f.address())
	cfg.Scheme, cfg.Credentials = "https", Dir(m.path)
	c := newClient(t, cfg)
	clock := time.Now()
	c.keys.now = func() time.Time { return clock }
	if _, err := c.Version(t.Context()); !isKind(err, Certificate) {
		t.Fatalf("before: %v", err)
	}
	m.write(t, map[string]string{"UFM_TOKEN": "t", "UFM_CERTIFICATE": after.pem()})
	clock = clock.Add(recheck)
	if _, err := c.Version(t.Context()); err != nil {
		t.Errorf("after: %v", err)
	}
}

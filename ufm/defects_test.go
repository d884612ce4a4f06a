package ufm

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
)

// test/control/defects_test.go lists what was found wrong in ib-kubernetes, and which
// tests show that it is not so here. These are the ones that had no other home.

func TestDefect4SkippingVerificationIsOneClientsAffair(t *testing.T) {
	f := issue(t, nil, asIs[x509.Certificate]).serve(t, asIs[tls.Config])
	cfg := config(f.address())
	cfg.Scheme, cfg.SkipVerify = "https", true
	if _, err := newClient(t, cfg).Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.SkipVerify = false
	if _, err := newClient(t, cfg).Version(t.Context()); !isKind(err, Certificate) {
		t.Errorf("another client of this process: %v", err)
	}
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok || shared.TLSClientConfig != nil && shared.TLSClientConfig.InsecureSkipVerify {
		t.Error("the process's own transport was changed")
	}
}

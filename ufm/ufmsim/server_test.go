package ufmsim

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRestartIsOnTheSamePort(t *testing.T) {
	s, srv, tr := plainServer(t, Config{Clock: hasty{}})
	mustSend(t, s, "POST", "/resources/pkeys", addBody(5, 1))
	addr := srv.Addr()
	srv.Stop()
	if _, _, err := sendOver(tr, srv.URL(), "GET", "/app/smconf", ""); err == nil {
		t.Error("it answers while it is stopped")
	}
	if err := srv.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Restart(time.Hour); err != nil || srv.Addr() != addr {
		t.Fatalf("%v, at %s after %s", err, srv.Addr(), addr)
	}
	if _, got, err := sendOver(tr, srv.URL(), "GET", "/resources/pkeys/0x5?guids_data=true", ""); err != nil || !strings.Contains(got, h(1)) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTLSWithSANIsVerifiedAndWithoutIsRefused(t *testing.T) {
	for _, san := range []bool{true, false} {
		certPEM, keyPEM, err := SelfSigned([]string{"localhost", "127.0.0.1"}, san)
		if err != nil {
			t.Fatal(err)
		}
		srv, err := newSim(t, Config{CertPEM: certPEM, KeyPEM: keyPEM}).Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting(t, srv.CertPEM())}
		status, _, err := sendOver(tr, srv.URL(), "GET", "/app/smconf", "")
		if got := err == nil && status == 200; got != san {
			t.Errorf("SAN %v: %d, %v", san, status, err)
		}
		srv.Close()
	}
}

func TestTheCertificateWithoutSANIsAsOpenSSLMakesIt(t *testing.T) {
	certPEM, _, err := SelfSigned([]string{"ufm.example"}, false)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "ufm.example" || cert.DNSNames != nil || cert.IPAddresses != nil || !cert.IsCA || cert.CheckSignatureFrom(cert) != nil {
		t.Errorf("%v %v %v", cert.Subject, cert.DNSNames, cert.IsCA)
	}
}

func TestAForkHasTheCertificateAndTheLogins(t *testing.T) {
	s := newSim(t, Config{})
	first, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := s.Fork().Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting(t, first.CertPEM())}
	if status, _, err := sendOver(tr, second.URL(), "GET", "/app/smconf", ""); status != 200 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestHTTP1OnlyAndADate(t *testing.T) {
	srv, err := newSim(t, Config{}).Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	conf := trusting(t, srv.CertPEM())
	conf.NextProtos = []string{"h2", "http/1.1"}
	conn, err := tls.Dial("tcp", srv.Addr(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("it speaks %q", p)
	}
	req, _ := http.NewRequest(http.MethodHead, srv.URL()+"/ufmRest/app/ufm_version", nil)
	req.Header.Set("Authorization", adminBasic)
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting(t, srv.CertPEM())}
	res := roundTrip(t, tr, req)
	if _, err := http.ParseTime(res.Header.Get("Date")); err != nil || res.StatusCode != 200 {
		t.Errorf("%d, %v", res.StatusCode, err)
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	s, srv, tr := plainServer(t, Config{Timing: Timing{Change: time.Hour}})
	seen := s.Watch(t.Context())
	inject(t, s, Fault{Kind: FaultHang, Op: OpList})
	ended := make(chan error, 2)
	for _, c := range []step{"GET /resources/pkeys", post1} {
		go func() {
			parts := append(strings.SplitN(string(c), " ", 3), "")
			_, _, err := sendOver(tr, srv.URL(), parts[0], parts[1], parts[2])
			ended <- err
		}()
	}
	for s.Calls()[OpAdd]+s.Calls()[OpList] < 2 { // both are in
		select {
		case e := <-seen:
			t.Fatalf("%+v", e)
		default:
		}
	}
	srv.Close()
	if a, b := <-ended, <-ended; a == nil || b == nil {
		t.Errorf("%v, %v", a, b)
	}
}

func TestBadConfigs(t *testing.T) {
	if _, err := New(Config{Quirks: Quirks{ListBoth: "ful"}}); err == nil || !strings.Contains(err.Error(), "guids, qos, full") {
		t.Errorf("a misspelt quirk: %v", err)
	}
	s := newSim(t, Config{CertPEM: []byte("x"), KeyPEM: []byte("y")})
	for _, addr := range []string{"127.0.0.1:0", "127.0.0.1", "", "256.0.0.1:1"} {
		if srv, err := s.Start(addr); err == nil {
			srv.Close()
			t.Errorf("Start(%q) went well", addr)
		}
	}
}

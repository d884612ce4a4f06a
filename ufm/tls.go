package ufm

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// trust says which servers are taken for UFM, and what we show them of ourselves.
type trust struct {
	roots  *x509.CertPool // nil: those of the system
	pins   []*x509.Certificate
	skip   bool
	client []tls.Certificate
}

// newTrust reads UFM_CERTIFICATE. What cannot be read to its end is an error: a bundle cut
// short would silently trust less than it says.
func newTrust(bundle string, skip bool) (*trust, error) {
	t := &trust{skip: skip}
	if bundle == "" {
		return t, nil
	}
	certs, err := parseBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", envCertificate, err)
	}
	t.roots = x509.NewCertPool()
	for _, cert := range certs {
		t.roots.AddCert(cert)
		if !hasSAN(cert) {
			t.pins = append(t.pins, cert)
		}
	}
	return t, nil
}

func parseBundle(bundle string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	rest := []byte(bundle)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of it: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, errors.New("its last PEM block is broken or cut short")
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return certs, nil
}

// hasSAN reports whether cert has a subjectAltName (RFC 5280, 4.2.1.6). Without one, no
// name that it gives counts any more.
func hasSAN(cert *x509.Certificate) bool {
	oid := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			return true
		}
	}
	return false
}

// present sets the certificate that we show to UFM.
func (t *trust) present(cert string, key Secret) error {
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key.reveal()))
	if err != nil {
		return fmt.Errorf("%s and %s: %w", envClientCert, envClientKey, err)
	}
	t.client = []tls.Certificate{pair}
	return nil
}

// config is the TLS configuration for one host.
func (t *trust) config(host string) *tls.Config {
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		RootCAs:      t.roots,
		Certificates: t.client,
		NextProtos:   []string{"http/1.1"},
		// UFM's Apache asks for the client certificate by renegotiating (TLS 1.2).
		Renegotiation: tls.RenegotiateOnceAsClient,
	}
	switch {
	case t.skip:
		cfg.InsecureSkipVerify = true
	case len(t.pins) > 0:
		// The standard verification would refuse a pinned certificate before we could
		// look at it. It is switched off only together with the one that stands in, which
		// is told the host: the state of a connection to an IP address has no name in it,
		// and verifying no name is verifying none.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			return t.verify(state.PeerCertificates, host, time.Now())
		}
	}
	return cfg
}

// verify does what crypto/tls does, chain, dates and host name, but takes one more kind of
// server: the one that shows exactly a certificate of UFM_CERTIFICATE that names no host,
// as "openssl req -x509 -subj /CN=…" makes it. That is safe without a name: the handshake
// has proved that the server holds the key of this certificate, and the operator has said
// of this certificate, byte for byte, that it is UFM's. Nothing that it signed is trusted
// for it, and a certificate that looks the same is another one.
func (t *trust) verify(chain []*x509.Certificate, host string, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("tls: the server shows no certificate")
	}
	leaf := chain[0]
	if slices.ContainsFunc(t.pins, leaf.Equal) {
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return refuse(chain, x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired})
		}
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: t.roots, Intermediates: intermediates, CurrentTime: now})
	if err != nil {
		return refuse(chain, err)
	}
	return nil
}

// refuse gives the error the shape that crypto/tls gives its own.
func refuse(chain []*x509.Certificate, err error) error {
	return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
}

// mendCertificate tells a person what to do about a certificate that was refused.
func mendCertificate(err *tls.CertificateVerificationError, host string, bundle bool) string {
	if len(err.UnverifiedCertificates) == 0 {
		return "look at the certificate that UFM serves"
	}
	leaf := err.UnverifiedCertificates[0]
	invalid := x509.CertificateInvalidError{}
	wrongName := x509.HostnameError{}
	switch now := time.Now(); {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		if now.Before(invalid.Cert.NotBefore) {
			return fmt.Sprintf("the certificate is not valid before %s: check the clocks", invalid.Cert.NotBefore.Format(time.RFC3339))
		}
		return fmt.Sprintf("the certificate expired on %s: renew it on UFM, and in %s when it is pinned there",
			invalid.Cert.NotAfter.Format(time.DateOnly), envCertificate)
	case !hasSAN(leaf):
		not := "put exactly this certificate into " + envCertificate
		if bundle {
			not = "put exactly this certificate into " + envCertificate + ", which holds another one"
		}
		return fmt.Sprintf("the certificate names no host, only a common name (%s): %s, or make one with a name: %s",
			clip(leaf.Subject.CommonName), not, opensslFor(host))
	case errors.As(err, &wrongName):
		return fmt.Sprintf("the certificate is for %s and not for %s: write one of its names into UFM_ADDRESS, or make one with this name: %s",
			clip(strings.Join(namesOf(leaf), ", ")), host, opensslFor(host))
	case bundle:
		return fmt.Sprintf("the server's certificate (issued by %s) is neither in %s nor signed by one that is",
			clip(leaf.Issuer.String()), envCertificate)
	default:
		return fmt.Sprintf("no CA of this system signed the certificate (issued by %s): put its CA, or the certificate itself, into %s",
			clip(leaf.Issuer.String()), envCertificate)
	}
}

func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// opensslFor is the command that makes a certificate which names host.
func opensslFor(host string) string {
	kind := "DNS"
	if strings.Trim(host, "0123456789.") == "" || strings.Contains(host, ":") {
		kind = "IP"
	}
	return fmt.Sprintf("openssl req -x509 -newkey rsa:4096 -nodes -days 3650 -keyout ufmlocalhost.key -out ufmlocalhost.crt"+
		" -subj '/CN=%s' -addext 'subjectAltName=%s:%s'", host, kind, host)
}

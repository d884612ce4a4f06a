package ufmsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// identity is the certificate of a UFM, made when it is first needed. A fork shares it.
type identity struct {
	mu      sync.Mutex // protects what follows
	certPEM []byte
	keyPEM  []byte
}

// certificate returns the configured certificate, or one signed for these hosts.
func (s *Sim) certificate(hosts []string) (certPEM, keyPEM []byte, err error) {
	if len(s.cfg.CertPEM) > 0 {
		return s.cfg.CertPEM, s.cfg.KeyPEM, nil
	}
	s.own.mu.Lock()
	defer s.own.mu.Unlock()
	if s.own.certPEM == nil {
		s.own.certPEM, s.own.keyPEM, err = SelfSigned(hosts, true)
	}
	return s.own.certPEM, s.own.keyPEM, err
}

// SelfSigned makes a certificate and its key, valid for ten years. With withSAN it names
// all hosts, names and addresses, as subject alternative names. Without, it is what
// openssl req -x509 -subj '/CN=…' makes: a common name only, which clients that verify
// names have refused for years, and which must be trusted by itself.
func SelfSigned(hosts []string, withSAN bool) (certPEM, keyPEM []byte, err error) {
	if len(hosts) == 0 {
		return nil, nil, errors.New("a certificate needs a host")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: hosts[0]},
		// An hour back, for clients whose clock is behind.
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		// A CA of itself, as openssl's defaults have it.
		IsCA: true, BasicConstraintsValid: true,
	}
	if withSAN {
		cert.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		addSANs(cert, hosts)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func addSANs(cert *x509.Certificate, hosts []string) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, h)
		}
	}
}

// tlsConfig is what UFM's Apache offers: HTTP/1.1 only. A client certificate is asked
// for when there is a CA to verify it with, and one that does not verify ends the
// handshake; a client without one goes on and can still log in otherwise.
func (s *Sim) tlsConfig(certPEM, keyPEM []byte) (*tls.Config, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if s.cfg.ClientCAs != nil {
		cfg.ClientCAs, cfg.ClientAuth = s.cfg.ClientCAs, tls.VerifyClientCertIfGiven
	}
	return cfg, nil
}
